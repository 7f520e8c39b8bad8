# SPDX-License-Identifier: Apache-2.0
"""Files of the store and of the cache that are lost or damaged: made again when they are needed, or said in words."""
import glob
import os
import shutil
import unittest

from image_test import ImageTest, busybox
from registry import gz, member


class Mend(ImageTest):
    def squashfs(self, image):
        return f"{self.home}/state/images/{image['digest'].replace(':', '-')}/root.squashfs"

    def vm(self, image, name="v"):
        self.server.create(name, image=image, boot="cold")
        self.server.run(name, "sh", "-c", "echo mine > /mine; sync")
        self.server.must(200, "POST", f"/vms/{name}/stop", wait=60)

    def start(self, name="v", status=200):
        reply = self.server.call("POST", f"/vms/{name}/start", headers={"Prefer": "wait=240"})
        self.assertEqual(status, reply.status, reply)
        return reply.json()

    def test_what_is_lost_of_a_pulled_image_is_made_again(self):
        layer = gz(busybox(member("here", b"1")))
        self.registry.image("t/lost", "1", [layer])
        image = self.pull("t/lost:1", name="lost")
        self.vm("lost")
        self.server.stop()
        os.unlink(self.squashfs(image))
        shutil.rmtree(f"{self.home}/cache")     # the layers, and the initramfs
        self.registry.image("t/lost", "1", [gz(busybox())])     # the name means another one by now
        self.server.start()
        stages = [stage["name"] for stage in self.start()["stages"]]
        self.assertIn("mend", stages)
        self.assertEqual("1mine\n", self.server.run("v", "cat", "/here", "/mine"))
        self.server.must(200, "POST", "/images/lost/verify", wait=60)
        self.assert_no_staging()

    def test_what_can_not_be_made_again_is_said_and_brought_again(self):
        self.registry.image("t/lost", "1", [gz(busybox())])
        image = self.pull("t/lost:1", name="lost")
        self.vm("lost")
        os.unlink(self.squashfs(image))
        shutil.rmtree(f"{self.home}/cache/blobs")
        self.registry.status(1000, "blobs", 404)
        words = self.start(status=404)["detail"]
        self.assertIn("the files of image sha256-", words)
        self.assertIn("does not have it", words)
        self.registry.answers.clear()
        self.assertEqual(image["digest"], self.pull("t/lost:1", name="lost")["digest"])
        self.assertTrue(os.path.exists(self.squashfs(image)), "a pull that says it is there has it")
        self.assertNotIn("mend", [stage["name"] for stage in self.start()["stages"]])

    def test_files_of_this_machine_are_imported_again(self):
        path = f"{self.home}/root.tar"
        with open(path, "wb") as f:
            f.write(busybox(member("here", b"1")))
        image = self.make(name="files", **{"import": path})
        self.assertEqual(image["digest"], self.make(name="twice", **{"import": path})["digest"])
        self.vm("files")
        with open(self.squashfs(image), "r+b") as f:
            f.truncate(5000)
        os.utime(path, (1, 1))                  # what is in it counts
        self.start()
        self.assertEqual("1", self.server.run("v", "cat", "/here"))
        self.server.must(200, "POST", "/vms/v/stop", wait=60)
        os.unlink(self.squashfs(image))
        with open(path, "wb") as f:
            f.write(busybox(member("here", b"2")))
        self.assertIn("gives now is another one", self.start(status=409)["detail"])

    def test_damage_that_was_found_is_mended(self):
        self.registry.image("t/bad", "1", [gz(busybox())])
        image = self.pull("t/bad:1", name="bad")
        self.vm("bad")
        with open(self.squashfs(image), "r+b") as f:
            f.seek(-2000, os.SEEK_END)
            f.write(b"damage")
        self.assertEqual(500, self.server.call("POST", "/images/bad/verify", headers={"Prefer": "wait=60"}).status)
        self.start()
        self.server.must(200, "POST", "/images/bad/verify", wait=60)

    def test_kernels(self):
        there = glob.glob(f"{self.home}/state/kernels/*")[0]
        copy = f"{self.home}/kernel"
        shutil.copytree(there, copy)
        # As if it had come from there, so that no package has to be fetched.
        self.server.must(204, "DELETE", "/kernels/debian-cloud")
        self.server.must(201, "POST", "/kernels", {"name": "k", "file": f"{copy}/vmlinux", "modules": f"{copy}/modules"},
                         wait=120)
        self.vm("mini")
        self.assertNotIn("mend", [stage["name"] for stage in self.start()["stages"]], "nothing is lost yet")
        self.server.must(200, "POST", "/vms/v/stop", wait=60)
        for lost in (f"{there}/vmlinux", f"{there}/modules/list"):
            os.unlink(lost)
            self.assertIn("mend", [stage["name"] for stage in self.start()["stages"]])
            self.server.must(200, "POST", "/vms/v/stop", wait=60)
        os.unlink(f"{there}/vmlinux")
        shutil.rmtree(copy)
        self.assertIn("the files of kernel sha256-", self.start(status=422)["detail"])

    def test_a_broken_initramfs_is_written_again(self):
        self.vm("mini")
        found = glob.glob(f"{self.home}/cache/initramfs/*.cpio")
        for path in found:
            os.truncate(path, 100000)
        self.assertTrue(found)
        self.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
