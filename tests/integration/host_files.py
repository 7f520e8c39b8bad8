# SPDX-License-Identifier: Apache-2.0
"""What guests get of the host at each start: keys for ssh, who commits are by, and the files of [file_sync]."""
import os
import shutil
import unittest

from harness import LifeTest

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBangerBangerBangerBangerBangerBangerBanger"


class HostFiles(LifeTest):
    def setUp(self):
        super().setUp()
        self.user = f"{self.home}/user"
        os.mkdir(self.user)
        self.server.env["HOME"] = self.user

    def write(self, name, text="", mode=0o644):
        path = os.path.join(self.user, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    def configure(self, text):
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="utf-8") as f:
            f.write(text)

    def guest(self, script, vm="a"):
        return self.server.run(vm, "sh", "-c", script)

    def restart(self, vm="a"):
        self.server.must(200, "POST", f"/vms/{vm}/restart", wait=200)

    def test_nothing_is_given_that_is_not_there(self):
        self.server.start()
        self.server.create("a")
        self.assertEqual("", self.guest("ls -A /root"))

    def test_keys_are_added_and_others_stay(self):
        os.makedirs(f"{self.home}/state/ssh")
        with open(f"{self.home}/state/ssh/id_ed25519.pub", "w", encoding="utf-8") as f:
            f.write(f"{KEY} banger\n")
        self.server.start()
        self.server.create("a")
        self.assertEqual(f"{KEY} banger\n", self.guest("cat /root/.ssh/authorized_keys"))
        self.assertEqual("700 0:0\n600 0:0\n", self.guest("stat -c '%a %u:%g' /root/.ssh /root/.ssh/authorized_keys"))
        self.guest("printf 'ssh-rsa other' >/root/.ssh/authorized_keys; chmod 777 /root")
        self.restart()
        self.assertEqual(f"ssh-rsa other\n{KEY} banger\n", self.guest("cat /root/.ssh/authorized_keys"))
        self.assertEqual("755\n", self.guest("stat -c %a /root"))
        self.restart()
        self.assertEqual(2, len(self.guest("cat /root/.ssh/authorized_keys").splitlines()))
        # Others of one's own choice, or none.
        self.server.stop()
        self.write("keys", f"# mine\n{KEY}1 one\n{KEY}2 two\n")
        self.configure("[guest]\nauthorized_keys = ~/keys\n")
        self.server.start()
        self.server.create("b")
        self.assertEqual(f"{KEY}1 one\n{KEY}2 two\n", self.guest("cat /root/.ssh/authorized_keys", "b"))
        self.server.stop()
        self.configure("[guest]\nauthorized_keys = off\n")
        self.server.start()
        self.server.create("c")
        self.assertEqual("", self.guest("ls -A /root", "c"))

    def test_commits_are_by_the_owner(self):
        if not shutil.which("git"):
            self.skipTest("no git on this host")
        self.write(".gitconfig", "[user]\n\tname = Some \\\"One\\\"\n\temail = one@example.org\n")
        self.server.start()
        self.server.create("a")
        text = self.guest("cat /root/.gitconfig")
        self.assertIn('name = "Some \\"One\\""\n\temail = "one@example.org"\n', text)
        # What the guest adds stays, and the block follows the host.
        self.guest("printf '[core]\\n\\tpager = cat\\n' >>/root/.gitconfig")
        self.write(".gitconfig", "[user]\n\tname = Other\n")
        self.restart()
        text = self.guest("cat /root/.gitconfig")
        self.assertEqual((1, 1, 0), (text.count('name = "Other"'), text.count("pager"), text.count("email")))
        # A name of its own is the guest's business.
        self.guest("printf '[user]\\n\\tname = Guest\\n' >/root/.gitconfig")
        self.restart()
        self.assertEqual("[user]\n\tname = Guest\n", self.guest("cat /root/.gitconfig"))
        self.server.stop()
        self.configure("[guest]\ngit_identity = 0\n")
        self.server.start()
        self.server.create("b")
        self.assertEqual("", self.guest("ls -A /root", "b"))

    def test_a_template_has_their_files_ready_and_empty(self):
        if not shutil.which("git"):
            self.skipTest("no git on this host")
        os.makedirs(f"{self.home}/state/ssh")
        with open(f"{self.home}/state/ssh/id_ed25519.pub", "w", encoding="utf-8") as f:
            f.write(f"{KEY} banger\n")
        self.write(".gitconfig", "[user]\n\tname = One\n")
        shape = {"image": "mini", "vcpus": 1, "memory_mib": 128, "disk_mib": 72, "network": "none"}
        self.configure("[guest]\nauthorized_keys = off\n")
        self.server.start()
        self.server.must(201, "POST", "/templates", shape, wait=300)
        self.server.must(201, "POST", "/vms", {"name": "a", "boot": "template", **shape}, wait=200)
        self.assertEqual(".gitconfig\n", self.guest("ls -A /root"))
        template = self.server.must(200, "GET", "/templates")["items"]
        for one in template:
            self.server.must(204, "DELETE", f"/templates/{one['id']}")
        self.server.stop()
        self.configure("")
        self.server.start()
        self.server.must(201, "POST", "/templates", shape, wait=300)
        # What the template has is not what a copy gets.
        self.write(".gitconfig", "[user]\n\tname = Two\n")
        self.server.must(201, "POST", "/vms", {"name": "b", "boot": "template", **shape}, wait=200)
        self.assertEqual(f"{KEY} banger\n", self.guest("cat /root/.ssh/authorized_keys", "b"))
        self.assertEqual("600\n700\n644\n", self.guest(
            "cd /root; stat -c %a .ssh/authorized_keys .ssh .gitconfig", "b"))
        text = self.guest("cat /root/.gitconfig", "b")
        self.assertEqual((1, 0), (text.count('name = "Two"'), text.count("One")))

    def test_files_and_folders(self):
        self.write("dot/real", "linked", 0o644)
        os.symlink("dot/real", f"{self.user}/.tool")
        self.write(".config/gh/hosts", "token", 0o640)
        self.write(".config/gh/bin/run", "#!/bin/sh\n", 0o755)
        os.symlink("/etc/passwd", f"{self.user}/.config/gh/outside")
        self.write("tool", "#!/bin/sh\necho tool\n", 0o600)
        self.configure("[file_sync]\n~/.tool = ~/.tool\n~/.config/gh = ~/.config/gh\n"
                       f"{self.user}/tool = /root/bin/tool 0755\n~/none = ~/none\n")
        self.server.start()
        self.server.create("a")
        self.assertEqual("linked", self.guest("cat /root/.tool"))
        self.assertEqual("600 0:0\n640 0:0\n755 0:0\n755 0:0\n", self.guest(
            "cd /root; stat -c '%a %u:%g' .tool .config/gh/hosts .config/gh/bin/run bin/tool"))
        self.assertEqual("tool\n", self.guest("/root/bin/tool"))
        self.assertEqual("bin\nhosts\n", self.guest("ls -A /root/.config/gh"))
        self.assertIn("none", self.server.log())
        self.assertIn("links and other special files", self.server.log())
        # At each start anew; what is there besides stays.
        self.write(".config/gh/hosts", "newer")
        self.guest("rm -r /root/bin; echo kept >/root/.config/gh/own")
        self.restart()
        self.assertEqual("newerkept\ntool\n", self.guest("cd /root/.config/gh; cat hosts own; /root/bin/tool"))

    def test_what_can_not_be_read_ends_the_start(self):
        with open(f"{self.user}/large", "wb") as f:
            f.write(os.urandom(1 << 20) * 33)
        self.configure("[file_sync]\n~/large = ~/large\n")
        self.server.start()
        problem = self.server.must(413, "POST", "/vms", {"name": "a", "image": "mini", "vcpus": 1, "memory_mib": 128,
                                                         "disk_mib": 64, "network": "none"}, wait=200)
        self.assertIn("32 MiB", problem["detail"])
        os.remove(f"{self.user}/large")
        os.mkfifo(f"{self.user}/large")
        problem = self.server.must(422, "POST", "/vms", {"name": "b", "image": "mini", "vcpus": 1, "memory_mib": 128,
                                                         "disk_mib": 64, "network": "none"}, wait=200)
        self.assertIn("neither file nor folder", problem["detail"])

    def test_a_guest_without_room_starts_all_the_same(self):
        self.write("large", "x" * (8 << 20))
        self.configure("[file_sync]\n~/large = ~/large\n")
        self.server.start()
        self.server.create("a")
        self.guest("rm /root/large; dd if=/dev/zero of=/root/fill bs=1M count=200 2>/dev/null; sync; true")
        self.restart()
        self.assertIn("did not take all", self.server.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
