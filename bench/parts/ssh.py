# SPDX-License-Identifier: Apache-2.0
"""`banger vm ssh -- true`, by the host's own OpenSSH on both sides, beside `banger vm exec -- true`."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import machine
from figures import Failed, Skip, at_most_times, beside, figure

SSHD, KEYGEN = "/usr/sbin/sshd", "/usr/bin/ssh-keygen"
VM = "ssh"


class Cli:
    """banger as a user of the benchmark's server with a home of its own."""

    def __init__(self, server, folder):
        self.program = f"{server.build}/cli/banger"
        self.env = {k: v for k, v in os.environ.items() if k not in ("BANGER_SERVER", "SSH_AUTH_SOCK")}
        self.env.update(HOME=folder, BANGER_HOME=server.home)

    def run(self, *argv):
        """Seconds."""
        begun = time.monotonic()
        done = subprocess.run([self.program, *argv], env=self.env, capture_output=True, text=True, timeout=200, check=False,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failed(f"banger {' '.join(argv)}: {done.returncode} {done.stderr[-500:]}")
        return time.monotonic() - begun


def give_sshd(cli, folder):
    """The host's own OpenSSH with its libraries; the image mini has none."""
    root, files = f"{folder}/root", {SSHD, KEYGEN}
    for program in (SSHD, KEYGEN):
        files |= set(re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout))
    for file in files:
        os.makedirs(os.path.dirname(root + file), exist_ok=True)
        shutil.copy2(os.path.realpath(file), root + file)
    os.makedirs(f"{root}/etc/ssh")
    with open(f"{root}/etc/ssh/sshd_config", "w", encoding="utf-8") as f:
        f.write("PasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n")
    for part in os.listdir(root):
        cli.run("cp", f"{root}/{part}/.", f"{VM}:/{part}")
    cli.run("vm", "exec", VM, "--", "sh", "-c",
            "echo 'sshd:x:74:74::/run/sshd:/bin/false' >>/etc/passwd; chmod 755 / /etc /usr /root")


def measure(server, rounds):
    if not os.path.exists(SSHD) or not os.path.exists(KEYGEN) or not machine.program("ssh"):
        raise Skip("no OpenSSH to put into the guest (Debian packages openssh-server, openssh-client)")
    folder = tempfile.mkdtemp(prefix="bgssh-", dir="/tmp")
    try:
        cli = Cli(server, folder)
        server.create(VM)
        server.wait_for_template()
        give_sshd(cli, folder)
        # The first connection makes keys and is told the host's.
        cli.run("vm", "ssh", VM, "--", "true")
        by_ssh, by_exec = [], []
        for _ in range(rounds * 3):
            by_ssh.append(cli.run("vm", "ssh", VM, "--", "true") * 1000)
            by_exec.append(cli.run("vm", "exec", VM, "--", "true") * 1000)
        server.delete(VM)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield figure("banger vm exec -- true", by_exec, "ms", [beside("banger vm ssh -- true", by_ssh)],
                 goal=at_most_times(0.1), note="ssh makes a connection and its keys each time")
