# SPDX-License-Identifier: Apache-2.0
"""ssh into guests through the guest link: OpenSSH on both sides, keys known to each other before the first connection."""
import os
import shlex
import shutil
import subprocess
import unittest

from harness import LifeTest

CLI = os.environ["BANGER_CLI"]
SSHD, KEYGEN = "/usr/sbin/sshd", "/usr/bin/ssh-keygen"


class Ssh(LifeTest):
    def setUp(self):
        super().setUp()
        self.dir = f"{self.home}/user's home"
        os.mkdir(self.dir)
        self.env = {k: v for k, v in os.environ.items() if k not in ("BANGER_SERVER", "SSH_AUTH_SOCK")}
        self.env.update(HOME=self.dir, BANGER_HOME=self.home)
        self.ssh_dir = f"{self.home}/state/ssh"

    def run_in(self, argv, status=0, **more):
        done = subprocess.run(argv, env=self.env, capture_output=True, timeout=200, check=False, **more)
        self.assertEqual(status, done.returncode, done)
        return done

    def cli(self, *args, status=0, **more):
        return self.run_in([CLI, *args], status, **more)

    def give_sshd(self, vm):
        """The host's own OpenSSH with its libraries; the image mini has none."""
        self.server.give(vm, SSHD, KEYGEN)
        self.server.must(204, "PUT", f"/vms/{vm}/files/etc/ssh/sshd_config?parents=true",
                         b"PasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n",
                         headers={"Content-Type": "application/octet-stream"})
        self.cli("vm", "exec", vm, "--", "sh", "-c",
                 "echo 'sshd:x:74:74::/run/sshd:/bin/false' >>/etc/passwd; chmod 755 / /etc /usr /root")

    def known(self):
        with open(f"{self.ssh_dir}/known_hosts", encoding="utf-8") as f:
            return [line.split() for line in f]

    def test_ssh(self):
        self.server.start()
        self.server.create("plain")
        done = self.cli("vm", "ssh", "plain", status=255)
        self.assertIn(b"no SSH server in VM 'plain'", done.stderr)
        self.assertIn(b"nosuch", self.cli("ssh", "nosuch", status=255).stderr)
        self.cli("ssh", "no'such", status=2)

        self.server.create("web")
        self.give_sshd("web")
        # An authorized_keys of the user's own, without a newline at its end, keeps what it has.
        self.cli("vm", "exec", "web", "--", "sh", "-c", "mkdir -p -m 700 /root/.ssh; printf '# mine' >/root/.ssh/authorized_keys")
        done = self.cli("ssh", "web", "--", "printf", "%s\\n", "a  b", "$HOME", "it's", "*")
        self.assertEqual(b"a  b\n$HOME\nit's\n*\n", done.stdout)
        self.cli("ssh", "web", "--", "sh", "-c", "exit 42", status=42)
        data = os.urandom(300000)
        self.assertEqual(data, self.cli("ssh", "web", "--", "cat", input=data).stdout)
        lines = self.cli("ssh", "web", "--", "cat", "/root/.ssh/authorized_keys").stdout.decode().splitlines()
        with open(f"{self.ssh_dir}/id_ed25519.pub", encoding="utf-8") as f:
            self.assertEqual(["# mine", f.read().strip()], lines)
        self.assertEqual(0o600, os.stat(f"{self.ssh_dir}/id_ed25519").st_mode & 0o777)

        # A guest with another key by the same name is another machine: nothing is in the way.
        before = self.known()
        self.assertEqual(["web.vm,[web.vm]:*"], [entry[0] for entry in before])
        self.cli("vm", "exec", "web", "--", "sh", "-c",
                 "kill $(cat /run/sshd.pid); rm /etc/ssh/ssh_host_*; while kill -0 $(cat /run/sshd.pid) 2>/dev/null; do sleep 0.1; done; true")
        self.assertEqual(b"again\n", self.cli("ssh", "web", "--", "echo", "again").stdout)
        self.assertEqual(1, len(self.known()))
        self.assertNotEqual(before, self.known())

        # Another one, deleted by somebody who knows nothing of this host's files: the next connection drops its keys.
        with open(f"{self.ssh_dir}/known_hosts", "a", encoding="utf-8") as f:
            for name in ("gone", "plain"):
                f.write(f"{name}.vm,[{name}.vm]:* {self.known()[0][1]} {self.known()[0][2]}\n")
            f.write("elsewhere.example ssh-ed25519 AAAA\n")
        self.cli("ssh", "web", "--", "true")
        self.assertEqual(["elsewhere.example", "plain.vm,[plain.vm]:*", "web.vm,[web.vm]:*"],
                         sorted(entry[0] for entry in self.known()))
        self.server.delete("plain")
        self.cli("ssh", "web", "--", "true")
        self.assertEqual(["elsewhere.example", "web.vm,[web.vm]:*"], sorted(entry[0] for entry in self.known()))

        self.plain_ssh()
        self.git_over_ssh()
        self.cli("vm", "delete", "web")
        self.assertEqual(["elsewhere.example"], [entry[0] for entry in self.known()])

    def git_over_ssh(self):
        """A clone out of the guest, and a push back."""
        self.server.give("web", shutil.which("git"))
        self.cli("vm", "exec", "web", "--", "sh", "-c",
                 "cd /usr/bin && ln -sf git git-upload-pack && ln -sf git git-receive-pack && git init -q --bare -b main /srv/app.git")
        self.cli("ssh-config", "--install")
        self.env.update(GIT_SSH_COMMAND=f"ssh -F {shlex.quote(f'{self.dir}/.ssh/config')}", GIT_CONFIG_NOSYSTEM="1")
        here, again = f"{self.dir}/here", f"{self.dir}/again"
        self.run_in(["git", "clone", "-q", "web.vm:/srv/app.git", here])
        with open(f"{here}/file", "wb") as f:
            f.write(os.urandom(1 << 20))
        self.run_in(["git", "-C", here, "add", "file"])
        self.run_in(["git", "-C", here, "-c", "user.name=n", "-c", "user.email=n@n", "commit", "-q", "-m", "one"])
        self.run_in(["git", "-C", here, "push", "-q", "origin", "HEAD:main"])
        self.run_in(["git", "clone", "-q", "web.vm:/srv/app.git", again])
        with open(f"{here}/file", "rb") as f, open(f"{again}/file", "rb") as g:
            self.assertEqual(f.read(), g.read())
        head = self.run_in(["git", "-C", here, "rev-parse", "HEAD"]).stdout
        self.assertEqual(head, self.cli("vm", "exec", "web", "--", "git", "-C", "/srv/app.git", "rev-parse", "main").stdout)
        self.cli("ssh-config", "--uninstall")

    def plain_ssh(self):
        config = f"{self.dir}/.ssh/config"
        os.mkdir(f"{self.dir}/.ssh", 0o700)
        mine = "# mine\r\nHost other\n  User me"
        with open(config, "w", encoding="utf-8", newline="") as f:
            f.write(mine)
        os.chmod(config, 0o640)
        self.cli("ssh-config", "--install", "--uninstall", status=2)
        self.cli("ssh-config", "--install")
        with open(config, "rb") as f:
            once = f.read()
        self.cli("ssh-config", "--install")
        with open(config, "rb") as f:
            self.assertEqual(once, f.read())
        self.assertTrue(once.endswith(mine.encode()))
        # OpenSSH takes the home from the user database: the file is named.
        done = self.run_in(["ssh", "-F", config, "web.vm", "echo plain"])
        self.assertEqual(b"plain\n", done.stdout)
        # Quotes would leave those of the ProxyCommand: such a name is none of ours.
        done = subprocess.run(["ssh", "-F", config, "-G", "a';b.vm"], env=self.env, capture_output=True, check=False)
        self.assertNotIn(b"proxycommand", done.stdout)
        self.cli("ssh-config", "--uninstall")
        self.cli("ssh-config", "--uninstall")
        with open(config, "rb") as f:
            self.assertEqual(mine.encode(), f.read())
        self.assertEqual(0o640, os.stat(config).st_mode & 0o777)


if __name__ == "__main__":
    unittest.main()
