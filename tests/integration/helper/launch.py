#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: launch.py HELPER
vm.launch with programs that stand in for Firecracker and its jailer and tell what they were given: who they
run as, with which arguments and descriptors, in which jail; binaries that are not root's alone are refused.
With BANGER_JAILER=FILE, Firecracker's own jailer is used as well, with a static program in place of
Firecracker. Exit status 77: not root, nothing was tested.
"""
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import Helper  # noqa: E402

OWNER = 23456
ID = b"0123456789abcdef"
# Both tell what they see on standard output and go on until they are ended.
TELL = """#!/bin/sh
echo "args $*"
echo "uid $(id -u) gid $(id -g) groups $(id -G)"
echo "env $(env | cut -d= -f1 | sort | tr '\\n' ' ')"
echo "fds $(ls /proc/$$/fd | tr '\\n' ' ')"
grep -E '^(NoNewPrivs|CapEff|Seccomp):' /proc/self/status
echo "end"
while :; do sleep 1; done
"""
passed = 0


def check(what, truth):
    global passed
    if not truth:
        print("not ok: " + what)
        sys.exit(1)
    passed += 1
    print("ok: " + what)


def write_program(path, mode=0o755):
    with open(path, "w", encoding="ascii") as f:
        f.write(TELL)
    os.chmod(path, mode)


def read_told(fd):
    data = b""
    end = time.monotonic() + 10
    while b"end\n" not in data:
        assert select.select([fd], [], [], end - time.monotonic())[0], data
        data += os.read(fd, 4096)
    return data.decode()


def launch(client):
    r, w = os.pipe()
    reply = client.call("vm.launch", ID, b"abcdefgh01234567", [w])
    os.close(w)
    assert reply.result == 0, reply.reason
    pid = struct.unpack("<iI", reply.body)[0]
    return pid, reply.fd, r


def ended(pidfd):
    return bool(select.select([pidfd], [], [], 10)[0])


def test_binaries(client, folder):
    fc, jailer = folder + "/firecracker", folder + "/jailer"

    def refused(what):
        reply = client.call("vm.launch", ID)
        check("refused: " + what, reply.result < 0 and reply.reason == "binary")

    refused("no binary")
    write_program(fc)
    refused("no jailer")
    write_program(jailer)
    for path in (fc, jailer):
        for mode in (0o775, 0o757, 0o644):
            os.chmod(path, mode)
            refused("mode %o" % mode)
        os.chmod(path, 0o755)
        os.chown(path, OWNER, 0)
        refused("owned by the owner")
        os.chown(path, 0, 0)
        os.rename(path, path + ".real")
        os.symlink(path + ".real", path)
        refused("a symbolic link")
        os.remove(path)
        os.mkdir(path)
        refused("a folder")
        os.rmdir(path)
        os.mkfifo(path)
        refused("a FIFO")
        os.remove(path)
        os.rename(path + ".real", path)
    os.chmod(folder, 0o777)
    refused("a folder that anybody may change")
    os.chmod(folder, 0o755)
    os.chown(folder, OWNER, 0)
    refused("a folder of the owner's")
    os.chown(folder, 0, 0)


def test_jailed(client, folder):
    pid, pidfd, out = launch(client)
    told = read_told(out)
    check("the jailer is told whom, where and what", told.startswith(
        "args --id %s --exec-file %s/firecracker --uid %d --gid %d --chroot-base-dir %s/jail "
        "--cgroup-version 2\n" % (ID.decode(), folder, OWNER, OWNER, folder)))
    check("it starts as root", "uid 0 gid 0 " in told)
    check("without new privileges, behind the filter",
          "NoNewPrivs:\t1" in told and "Seccomp:\t2" in told)
    # chown dac_override fowner kill setgid setuid net_admin sys_admin mknod
    bits = sum(1 << n for n in (0, 1, 3, 5, 6, 7, 12, 21, 27))
    check("with the helper's nine capabilities", "CapEff:\t%016x\n" % bits in told)
    check("with a small environment", "env HOME LANG PATH PWD " in told)
    check("with no descriptor of the helper's", "fds 0 1 10 2 " in told or "fds 0 1 2 " in told)
    check("the reply's pidfd is its own", not select.select([pidfd], [], [], 0)[0])
    # Without systemd there is no service cgroup, and no --api-sock below the runtime folder either.
    check("no proof, no signal", client.call(
        "process.kill", struct.pack("<i12x", pid)).reason == "not-ours")
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    check("it ends", ended(pidfd))
    for _ in range(500):
        if not os.path.exists("/proc/%d" % pid):
            break
        time.sleep(0.01)
    check("and is reaped", not os.path.exists("/proc/%d" % pid))
    os.makedirs(folder + "/jail/firecracker/" + ID.decode() + "/root")
    check("a jail is used once", client.call("vm.launch", ID).reason == "busy")
    check("and taken away", client.call("jail.remove", ID).result == 0 and
          os.listdir(folder + "/jail/firecracker") == [])
    for fd in (pidfd, out):
        os.close(fd)


IN_JAIL = """
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
	DIR *d = opendir("/");
	struct dirent *e;
	struct stat st;

	printf("uid %d gid %d", (int)getuid(), (int)getgid());
	while ((e = readdir(d)))
		printf(" %s", e->d_name);
	printf("\\ntun %d kvm %d etc %d\\nend\\n", stat("/dev/net/tun", &st), stat("/dev/kvm", &st),
	       stat("/etc", &st));
	fflush(stdout);
	for (;;)
		pause();
}
"""


def test_real_jailer(client, folder, jailer):
    """The jailer under the helper's capabilities and filter: it has all that it needs."""
    shutil.copy(jailer, folder + "/jailer")
    subprocess.run(["cc", "-static", "-x", "c", "-o", folder + "/firecracker", "-"],
                   input=IN_JAIL.encode(), check=True)
    pid, pidfd, out = launch(client)
    told = read_told(out)
    check("in the jail: the owner", told.startswith("uid %d gid %d " % (OWNER, OWNER)))
    check("with its devices and nothing of the host", "tun 0 kvm 0 etc -1" in told)
    base = "%s/jail/firecracker/%s" % (folder, ID.decode())
    st = os.stat(base + "/root")
    check("its root is the owner's", (st.st_uid, st.st_mode & 0o7777) == (OWNER, 0o700))
    check("and can be reached by them", subprocess.run(
        ["setpriv", "--reuid", str(OWNER), "--regid", str(OWNER), "--clear-groups", "touch",
         base + "/root/disk"], check=False).returncode == 0)
    check("the reply's number is the jailed process", os.readlink("/proc/%d/exe" % pid) ==
          "/firecracker" or os.readlink("/proc/%d/exe" % pid).endswith("/root/firecracker"))
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    check("it ends", ended(pidfd))
    check("the jail is taken away", client.call("jail.remove", ID).result == 0 and
          os.listdir(folder + "/jail/firecracker") == [])


def main():
    if os.geteuid() != 0:
        print("skipped: needs root to run the helper")
        return 77
    # In a folder whose parents are root's alone, as those of a real install are.
    folder = tempfile.mkdtemp(prefix="banger-launch-", dir="/var/lib")
    os.chmod(folder, 0o755)
    os.mkdir(folder + "/jail")
    helper = Helper(os.path.abspath(sys.argv[1]), folder, owner=OWNER, extra=[
        "--firecracker", folder + "/firecracker", "--jailer", folder + "/jailer"])
    try:
        client = helper.client()
        test_binaries(client, folder)
        test_jailed(client, folder)
        if os.environ.get("BANGER_JAILER"):
            test_real_jailer(client, folder, os.environ["BANGER_JAILER"])
        check("the operation's id is in the log", '"op":"abcdefgh01234567"' in helper.log())
        check("how the process ended as well", "killed by SIGKILL" in helper.log())
        check("the helper ends in order", helper.stop() == 0)
    except BaseException:
        print(helper.log()[-3000:])
        raise
    finally:
        if helper.process.poll() is None:
            helper.kill()
        shutil.rmtree(folder)
    print("%d passed, 0 failed" % passed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
