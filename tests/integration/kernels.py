# SPDX-License-Identifier: Apache-2.0
"""Kernels: of files, of packages, of addresses and of a registry; what is none, and what wants to do harm."""
import glob
import gzip
import lzma
import os
import re
import shutil
import threading
import unittest

from debian import deb, kernel_members
from harness import wait_until
from image_test import ImageTest, busybox
from registry import OCI, gz, member


class Kernels(ImageTest):
    def kernel(self, status=201, **fields):
        reply = self.server.call("POST", "/kernels", fields, {"Prefer": "wait=240"})
        self.assertEqual(status, reply.status, reply)
        return reply.json()

    def artifact(self, tag, *files):
        """What `oras push` makes: files with titles."""
        layers = [{"mediaType": "application/octet-stream", "digest": self.registry.blob(data), "size": len(data),
                   "annotations": {"org.opencontainers.image.title": title}} for title, data in files]
        media = f"{OCI}.manifest.v1+json"
        return self.registry.manifest("k/kernel", tag, {
            "schemaVersion": 2, "mediaType": media, "artifactType": "application/vnd.test.kernel", "layers": layers,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": self.registry.blob(b"{}"), "size": 2}},
            media)["digest"]

    def store(self):
        return glob.glob(f"{self.home}/state/kernels/*")[0]

    def file(self, name, data):
        with open(f"{self.home}/{name}", "wb") as f:
            f.write(data)
        return f"{self.home}/{name}"

    def assert_nothing_half_made(self):
        self.assertEqual([], [n for n in os.listdir(f"{self.home}/state/kernels") if n.startswith(".")])

    def test_kernels_from_files_and_addresses(self):
        row = self.server.must(200, "GET", "/kernels")["items"][0]
        folders = os.listdir(f"{self.home}/state/kernels")
        there = f"{self.home}/state/kernels/{folders[0]}"
        with open(f"{there}/vmlinux", "rb") as f:
            elf = f.read()
        made = self.kernel(name="copy", file=f"{there}/vmlinux", modules=f"{there}/modules")
        self.assertEqual(row["version"], made["version"])
        self.server.create("k", image="mini", kernel="copy", boot="cold")
        self.assertEqual(row["version"] + "\n", self.server.run("k", "uname", "-r"))
        self.assertIn("the kernel lacks virtio_mmio (finds the virtual devices), virtio_blk (disks)",
                      self.kernel(422, name="bare", file=f"{there}/vmlinux")["detail"])
        self.assertIn("neither a bzImage", self.kernel(422, name="text", file="/etc/passwd")["detail"])
        self.assertIn("No such file", self.kernel(422, name="none", file=f"{self.home}/none")["detail"])
        for size in (len(elf) // 2, len(elf) * 3 // 4):
            self.assertIn("cut short", self.kernel(422, name="cut", file=self.file("cut", elf[:size]),
                                                   modules=f"{there}/modules")["detail"])
        self.assertEqual("/name", self.kernel(422, file=f"{there}/vmlinux")["errors"][0]["pointer"])
        self.kernel(422, name="two", file="/x", url="https://example.org/x", sha256="0" * 64)
        digest = self.registry.blob(b"no kernel" * 1000)
        url = f"http://{self.registry.host}/v2/k/blobs/{digest}"
        self.assertIn("neither a bzImage", self.kernel(422, name="url", url=url, sha256=digest[7:])["detail"])
        self.assertIn("its sha256 is", self.kernel(502, name="url", url=url, sha256="1" * 64)["detail"])
        self.assertIn("http is for this machine",
                      self.kernel(422, name="url", url="http://192.0.2.1/k", sha256="1" * 64)["detail"])
        self.assert_nothing_half_made()
        self.assertEqual(len(elf), os.path.getsize(f"{there}/vmlinux"))

    def test_kernels_of_a_registry(self):
        there = glob.glob(f"{self.home}/state/kernels/*")[0]
        digest = self.artifact("1", ("README.md", b"text"), ("kernel.deb", deb(*kernel_members(there))))
        shutil.rmtree(there)    # and nothing else has it
        self.server.must(204, "DELETE", "/kernels/debian-cloud")
        self.assertEqual(422, self.server.call("POST", "/kernels", {"pull": self.reference("k/kernel:1")}).status)
        made = self.kernel(name="one", pull=self.reference("k/kernel:1"))
        self.assertTrue(made["source"].endswith(digest), made)
        self.assertIn("6.1.", made["version"])
        self.server.create("v", image="mini", boot="cold")
        self.server.must(200, "POST", "/vms/v/stop", wait=60)
        os.unlink(f"{there}/vmlinux")
        started = self.server.must(200, "POST", "/vms/v/start", wait=240)
        self.assertIn("mend", [stage["name"] for stage in started["stages"]])
        os.makedirs(f"{self.home}/config", exist_ok=True)
        for line, words in (("k/kernel:1", "ends with its digest"), (f"k/kernel@{digest}", None)):
            with open(f"{self.home}/config/catalog.list", "w", encoding="ascii") as f:
                f.write(f"kernel own {self.reference(line)}\n")
            if words:
                self.assertIn(words, self.server.call("GET", "/catalog").json()["detail"])
        names = {item["name"]: item for item in self.server.must(200, "GET", "/catalog")["items"]}
        self.assertEqual((True, False), (names["own"]["pinned"], names["ubuntu"]["pinned"]))
        self.assertEqual("own", self.kernel(**{"import": "own"})["name"])

    def test_kernels_of_a_registry_that_are_none(self):
        for tag, files, words in (
                ("none", (("a", b"1"), ("b", b"2")), "none of its 2 files has the title of a kernel"),
                ("text", (("vmlinux", b"no kernel" * 500),), "neither a bzImage")):
            self.artifact(tag, *files)
            self.assertIn(words, self.server.call("POST", "/kernels", {
                "name": "x", "pull": self.reference(f"k/kernel:{tag}")}, {"Prefer": "wait=60"}).json()["detail"])
        self.registry.image("k/image", "1", [gz(busybox())])
        self.assertIn("it is an image", self.server.call("POST", "/kernels", {
            "name": "x", "pull": self.reference("k/image:1")}, {"Prefer": "wait=60"}).json()["detail"])
        self.assert_nothing_half_made()

    # --- packages and what is compressed ---

    def test_a_package_whose_modules_are_compressed(self):
        members = []
        for info, data in kernel_members(self.store()):
            if info.name.endswith(".ko"):
                info, data = member(info.name + ".xz", lzma.compress(data))
            members.append((info, data))
        self.kernel(name="xz", file=self.file("k.deb", deb(*members, data="data.tar.xz", pack=lzma.compress)))
        self.server.create("k", image="mini", kernel="xz", boot="cold")
        self.assertEqual("Linux\n", self.server.run("k", "uname", "-s"))

    def test_a_kernel_that_is_compressed_as_a_whole(self):
        with open(f"{self.store()}/vmlinux", "rb") as f:
            elf = f.read()
        made = self.kernel(name="packed", file=self.file("vmlinux.gz", gzip.compress(elf, 1)),
                           modules=f"{self.store()}/modules")
        self.assertIn("6.1.", made["version"])
        for path in glob.glob(f"{self.home}/state/kernels/*/vmlinux"):
            with open(path, "rb") as f:
                self.assertEqual(elf, f.read(), path)

    def test_packages_that_want_to_do_harm(self):
        good = [one for one in kernel_members(self.store()) if "modules/" not in one[0].name]
        image = good[1]
        zeros = bytes(300 << 20)
        cases = {
            "bomb": (deb(member("./boot/vmlinuz-1", zeros)), 413, "boot/vmlinuz-1: it has more than"),
            "module": (deb(image, member("./lib/modules/1/a.ko.xz", b"no xz" * 100)), 422, "lib/modules/1/a.ko.xz"),
            "modules": (deb(image, member("./lib/modules/1/a.ko.gz", gzip.compress(zeros))), 413, "a.ko.gz: it has more"),
            "cut": (deb(image)[:-5000], 422, "boot/vmlinuz-6.1.0-test: decompress: truncated"),
            "none": (b"!<arch>\nrubbish" * 10, 422, "read package"),
            "kernel": (deb(member("./boot/vmlinuz-1", b"text" * 999)), 422, "boot/vmlinuz: neither a bzImage"),
            "whole": (gzip.compress(bytes(600 << 20), 1), 413, "when decompressed"),
        }
        for name, (data, status, words) in cases.items():
            with self.subTest(name):
                self.assertIn(words, self.kernel(status, name="evil", file=self.file(name, data))["detail"])
                self.assert_nothing_half_made()

    def test_a_file_that_changes_meanwhile(self):
        with open(f"{self.store()}/vmlinux", "rb") as f:
            elf = f.read()
        path, over = self.file("vmlinux", elf), threading.Event()

        def change():
            while not over.is_set():
                os.truncate(path, 4096)
                with open(path, "r+b") as f:
                    f.write(elf)
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(10):
                self.server.call("POST", "/kernels", {"name": "k", "file": path, "modules": f"{self.store()}/modules"},
                                 {"Prefer": "wait=60"})
        finally:
            over.set()
            thread.join()
        self.assertTrue(self.server.alive(), "the server outlives it")
        self.kernel(name="k", file=path, modules=f"{self.store()}/modules")

    def test_packages_are_read_in_a_cage(self):
        """What reads a package can open nothing and call little; it goes when the operation is cancelled."""
        path = self.file("long.deb", deb(*[member(f"./usr/{i}", bytes(8 << 20)) for i in range(100)]))
        # A sanitizer makes calls of its own when it reports.
        filtered = "0" if re.search("asan|tsan", os.environ["BANGER_BASE"]) else "2"
        op = self.server.must(202, "POST", "/kernels", {"name": "k", "file": path})

        def reader():
            for status in glob.glob("/proc/[0-9]*/status"):
                try:
                    with open(status, encoding="ascii") as f:
                        fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
                except OSError:
                    continue
                if fields["Name"] == "banger-unpack" and int(fields["PPid"]) == self.server.process.pid and \
                        fields["NoNewPrivs"] == "1" and fields["Seccomp"] == filtered:
                    return fields
            return None
        wait_until(reader, "a confined process reads it", step=0.001)
        self.server.call("DELETE", f"/operations/{op['id']}")
        self.server.wait_operation(op["id"])
        wait_until(lambda: not reader(), "it has gone")
        self.assert_nothing_half_made()


if __name__ == "__main__":
    unittest.main(verbosity=2)
