# SPDX-License-Identifier: Apache-2.0
"""A VM's disk becomes an image that holds what the VM saw."""
import functools
import os
import subprocess
import tempfile
import unittest

from harness import wait_until
from image_test import ImageTest, busybox
from registry import folder, gz, hardlink, member, symlink

CAPABILITY = bytes.fromhex("0100000200200000") + bytes(12)  # cap_net_raw


class Promote(ImageTest):
    def test_a_vm_becomes_an_image(self):
        self.registry.image("t/base", "1", [
            gz(busybox(member("kept", b"kept", uid=7, gid=9, mode=0o4750), member("gone", b"x"),
                       folder("etc/ssh"), member("etc/ssh/ssh_host_x_key", b"secret"), member("etc/machine-id", b"0" * 32),
                       folder("o"), member("o/old", b"1"),
                       member("able", b"x", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}),
                       member("ünï cödé\nline", b"name"), symlink("link", "/kept"), hardlink("same", "kept")))],
            {"Env": ["COLOUR=blue"], "Cmd": ["/bin/id"]})
        self.pull("t/base:1", name="base")
        self.make(404, name="x", from_vm="nobody")
        self.server.create("v", image="base", start=False, boot="cold")
        self.make(422, from_vm="v")
        self.make(409, name="x", from_vm="v")
        self.server.must(200, "POST", "/vms/v/start", wait=240)
        self.server.run("v", "sh", "-c", "cd /; busybox rm -rf gone o; busybox mkdir o; echo 2 > o/new; echo mine > mine;"
                        "busybox chown 5:6 mine; busybox mknod pipe p; busybox truncate -s 1G hole; echo end >> hole")
        made = self.make(201, name="promoted", from_vm="v")     # while it runs
        self.assertEqual("running", self.server.state("v"))
        self.assertEqual("VM v, made from base", made["source"])
        self.server.must(200, "POST", "/vms/v/kill", wait=60)
        self.make(201, name="again", from_vm="v")               # and when it does not
        self.assertEqual(204, self.server.call("DELETE", "/images/again").status)
        self.server.delete("v")
        self.assertEqual(204, self.server.call("DELETE", "/images/base").status)
        self.assert_no_staging()
        self.assert_nothing_left()
        self.server.create("w", image="promoted", boot="cold")
        run = functools.partial(self.server.run, "w")
        self.assertEqual("new\n", run("sh", "-c", "cd /o; echo *"))
        self.assertEqual("2\nmine\n", run("sh", "-c", "cat /o/new /mine"))
        self.assertEqual("4750 7 9 2\n5 6 1\n", run("sh", "-c", "stat -c '%a %u %g %h' /kept; stat -c '%u %g %h' /mine"))
        self.assertEqual("kept" * 2 + "name", run("cat", "/link", "/same", "/ünï cödé\nline"))
        self.assertEqual("fifo 1073741828 end\n",
                         run("sh", "-c", "echo $(stat -c %F /pipe) $(stat -c %s /hole) $(busybox tail -c 4 /hole)"))
        self.assertEqual("blue\n", run("sh", "-c", "echo $COLOUR"))
        self.assertEqual("absent empty\n", run("sh", "-c", "for f in /gone /etc/ssh/ssh_host_x_key; do test ! -e $f || exit 1;"
                                               " done; test ! -s /etc/machine-id && echo absent empty"))
        self.assert_capability(f"{self.home}/state/images/{made['digest'].replace(':', '-')}/root.squashfs")

    def assert_capability(self, squashfs):
        """Where this machine lets files have one."""
        with tempfile.TemporaryDirectory(dir=self.home) as out:
            with open(f"{out}/probe", "wb"):
                pass
            try:
                os.setxattr(f"{out}/probe", "security.capability", CAPABILITY)
            except OSError as error:
                print(f"no capabilities of files here: {error}")
                return
            subprocess.run(["unsquashfs", "-q", "-n", "-d", f"{out}/x", squashfs, "able"], check=True, capture_output=True)
            self.assertEqual(CAPABILITY, os.getxattr(f"{out}/x/able", "security.capability"))

    def test_a_vm_that_is_paused(self):
        self.server.create("v")
        self.server.run("v", "sh", "-c", "echo written > /late")    # and not yet on its disk
        self.server.must(200, "POST", "/vms/v/pause", wait=60)
        self.make(201, name="still", from_vm="v")
        self.assertEqual("paused", self.server.state("v"))
        self.server.create("w", image="still", boot="cold")
        self.assertEqual("written\n", self.server.run("w", "cat", "/late"))
        self.server.must(200, "POST", "/vms/v/resume", wait=60)
        self.assertEqual("written\n", self.server.run("v", "cat", "/late"))

    def test_a_vm_whose_own_init_is_process_1(self):
        self.registry.image("t/system", "1", [
            gz(busybox(folder("sbin"), symlink("sbin/init", "../bin/busybox"), folder("proc"), folder("dev"), folder("run"),
                       folder("sys"), member("etc/inittab", b"::sysinit:/bin/touch /started\n::respawn:/bin/sleep 1000\n"),
                       symlink("bin/touch", "busybox")))],
            {"Cmd": ["/sbin/init"], "Env": ["COLOUR=red"]})
        self.pull("t/system:1", name="system")
        vm = self.server.create("v", image="system", boot="cold")
        self.assertEqual("system", vm["init"])
        self.server.run("v", "sh", "-c", "rm=/bin/busybox; $rm rm /started; echo mine > /mine")
        self.make(201, name="promoted", from_vm="v")
        self.server.must(200, "POST", "/vms/v/kill", wait=60)
        self.make(201, name="again", from_vm="v")
        self.assertEqual("system", self.server.create("w", image="promoted", boot="cold")["init"])
        self.assertEqual("init\n", self.server.run("w", "cat", "/proc/1/comm"))
        self.assertEqual("mine\nred\n", self.server.run("w", "sh", "-c", "cat /mine; echo $COLOUR"))
        wait_until(lambda: self.server.run("w", "sh", "-c", "echo /start*") == "/started\n", "its init has worked")

    def test_a_promotion_can_be_cancelled(self):
        self.server.create("v")
        for _ in range(10):     # a fast machine may be done before it is told
            op = self.server.must(202, "POST", "/images", {"name": "x", "from_vm": "v"})
            wait_until(lambda o=op: "boot" in [stage["name"] for stage in self.server.operation(o["id"])["stages"]],
                       "the helper boots", 240)
            self.server.call("DELETE", f"/operations/{op['id']}")
            if self.server.wait_operation(op["id"])["state"] == "cancelled":
                break
            self.server.must(204, "DELETE", "/images/x")
        else:
            self.fail("never cancelled")
        self.assertNotIn("x", self.names())
        self.assert_no_staging()
        self.assertEqual("ok\n", self.server.run("v", "echo", "ok"))
        self.server.delete("v")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
