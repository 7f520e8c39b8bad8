# SPDX-License-Identifier: Apache-2.0
"""Images of a registry or of files: unpacked, booted, named, verified."""
import glob
import json
import os
import shutil
import subprocess
import unittest

from image_test import ImageTest, busybox
from registry import DOCKER, folder, gz, hardlink, layer, member, sha256, symlink


class Images(ImageTest):
    # --- what is in them ---

    def test_layers_become_a_guest(self):
        base = busybox(
            folder("d"), member("d/gone", b"1"), member("d/kept", b"kept", mode=0o640, uid=7, gid=9),
            folder("o"), member("o/old", b"1"), folder("o/sub"), member("o/sub/old", b"1"),
            member("suid", b"x", mode=0o4755), symlink("abs", "/d/kept"), hardlink("same", "d/kept"),
            member("ünï cödé\nline", b"name"))
        top = layer(member("d/.wh.gone"), member("o/.wh..wh..opq"), member("o/new", b"2"),
                    hardlink("across", "d/kept"), member("null", type=b"3", devmajor=1, devminor=3, mode=0o666),
                    folder("private", mode=0o700, uid=3))
        self.registry.image("t/all", "1", [gz(base), top])
        image = self.pull("t/all:1")
        self.assertIn("/t/all:1@sha256:", image["source"])
        run = self.boot("t/all:1")
        self.assertEqual("kept\n", run("sh", "-c", "cd /d; echo *"))
        self.assertEqual("new\n", run("sh", "-c", "cd /o; echo *"))
        self.assertEqual("640 7 9 3\n", run("stat", "-c", "%a %u %g %h", "/d/kept"))
        for name in ("/abs", "/same", "/across"):
            self.assertEqual("kept", run("cat", name))
        self.assertEqual("4755\n", run("stat", "-c", "%a", "/suid"))
        self.assertEqual("character special file 1 3\n", run("stat", "-c", "%F %t %T", "/null"))
        self.assertEqual("700 3\n", run("stat", "-c", "%a %u", "/private"))
        self.assertEqual("name", run("cat", "/ünï cödé\nline"))
        self.assertEqual("1700000000\n", run("stat", "-c", "%Y", "/d/kept"))

    def test_types_of_documents_and_layers(self):
        zstd = subprocess.run(["zstd", "-qc"], input=busybox(), capture_output=True, check=True).stdout
        amd64 = self.registry.image("t/multi", None, [zstd])
        other = self.registry.image("t/multi", None, [layer(member("other"))], arch="arm64")
        self.registry.index("t/multi", "latest", {"arm64": other, "amd64": amd64})
        self.assertTrue(self.pull("t/multi")["source"].endswith(amd64["digest"]))
        docker = self.registry.image("t/docker", "old", [gz(busybox())], kind=DOCKER)
        self.pull("t/docker:old")
        self.assertTrue(self.pull(f"t/docker@{docker['digest']}")["source"].endswith(docker["digest"]))
        self.assertEqual("root\n", self.boot("t/multi")("id", "-un"))
        self.registry.image("t/arm", "latest", [layer()], arch="arm64")
        self.refused("t/arm", "for arm64")

    def test_layers_that_are_there_are_not_asked_for_again(self):
        base, one, two = gz(busybox()), gz(layer(member("one"))), gz(layer(member("two")))
        self.registry.image("t/one", "1", [base, one, base])
        self.registry.image("t/two", "1", [base, two])
        self.pull("t/one:1")
        self.assertEqual(1, len(self.registry.requests(sha256(base))))
        self.pull("t/two:1")
        self.assertEqual(1, len(self.registry.requests(sha256(base))))
        before = len(self.registry.requests("blobs"))
        again = self.pull("t/two:1", name="again")
        self.assertEqual(before + 1, len(self.registry.requests("blobs")), "the configuration alone")
        two = self.server.must(200, "GET", "/images/" + self.reference("t/two:1").replace("/", "%2F"))
        self.assertEqual(two["digest"], again["digest"])

    def test_a_command_gets_what_the_image_says(self):
        own = {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id -un; pwd; echo $COLOUR $SIZE; exit 3"],
               "Env": ["COLOUR=blue", "SIZE=1", "PATH=/bin"], "User": "ann", "WorkingDir": "/srv/work"}
        self.registry.image("t/own", "1", [gz(busybox(folder("srv"), folder("srv/work", mode=0o777)))], own)
        self.pull("t/own:1")
        shown = self.server.must(200, "GET", "/images/" + self.reference("t/own:1").replace("/", "%2F"))
        self.assertEqual({"entrypoint": own["Entrypoint"], "cmd": own["Cmd"], "env": own["Env"], "user": "ann",
                          "workdir": "/srv/work"}, shown["config"])
        self.boot("t/own:1")
        result = self.server.must(200, "POST", "/vms/a/exec", {})
        self.assertEqual((3, "ann\n/srv/work\nblue 1\n"), (result["exit_code"], result["stdout"]))
        result = self.server.must(200, "POST", "/vms/a/exec", {
            "argv": ["sh", "-c", "id -un; pwd; echo $COLOUR $SIZE"], "env": {"COLOUR": "red"}, "user": "root", "cwd": "/"})
        self.assertEqual("root\n/\nred 1\n", result["stdout"])
        self.registry.image("t/elsewhere", "1", [gz(busybox())], {"Cmd": ["pwd"], "WorkingDir": "/not/there"})
        self.pull("t/elsewhere:1")
        self.boot("t/elsewhere:1", "c")
        self.assertEqual("/not/there\n", self.server.must(200, "POST", "/vms/c/exec", {})["stdout"])
        self.assertEqual("755 0:0\n", self.server.run("c", "stat", "-c", "%a %u:%g", "/not/there"))
        for cwd in ("/nor/this", "/nor/this/"):
            reply = self.server.call("POST", "/vms/c/exec", {"argv": ["pwd"], "cwd": cwd})
            self.assertIn("/cwd: change to the folder /nor/this:", reply.json()["detail"])
        self.registry.image("t/silent", "1", [gz(busybox())])
        self.pull("t/silent:1")
        self.boot("t/silent:1", "b")
        reply = self.server.call("POST", "/vms/b/exec", {})
        self.assertEqual(422, reply.status)
        self.assertIn("names no command", reply.json()["detail"])

    # --- from files, and what becomes of them ---

    def test_a_tar_of_a_root_becomes_an_image(self):
        path = f"{self.home}/root.tar.gz"
        with open(path, "wb") as f:
            f.write(gz(busybox(member("here", b"1"))))
        self.assertEqual(path, self.make(name="files", **{"import": path})["source"])
        self.server.create("a", image="files", boot="cold")
        self.assertEqual("1", self.server.run("a", "cat", "/here"))
        self.make(422, **{"import": path})
        self.make(422, name="x", **{"import": f"{self.home}/nothing"})
        self.make(422, name="x", **{"import": "/dev/null"})
        self.make(422, name="x", **{"import": "/etc/hostname"})
        self.assert_no_staging()

    def test_root_file_systems_on_the_disk_become_images(self):
        root = f"{self.home}/root"
        os.makedirs(f"{root}/bin")
        shutil.copy2("/bin/busybox", f"{root}/bin/busybox")
        for name in ("sh", "cat", "stat"):
            os.symlink("busybox", f"{root}/bin/{name}")
        with open(f"{root}/private", "w", encoding="ascii") as f:
            f.write("mine")
        os.chmod(f"{root}/private", 0o4640)
        os.link(f"{root}/private", f"{root}/same")

        def squash(how, *options):
            path = f"{self.home}/{how}.squashfs"
            subprocess.run(["mksquashfs", root, path, "-quiet", "-no-progress", "-comp", how, *options], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            return path
        zstd = squash("zstd")
        for name, path in (("packed", zstd), ("folder", root)):
            with self.subTest(name):
                self.assertEqual(path, self.make(name=name, **{"import": path})["source"])
                self.server.create(name, image=name, boot="cold")
                self.assertEqual(f"mine{os.getuid()} 4640 2\n",
                                 self.server.run(name, "sh", "-c", "cat /private; stat -c '%u %a %h' /same"))
                self.server.delete(name)
        copy = glob.glob(f"{self.home}/state/images/*/root.squashfs")
        self.assertNotIn(os.stat(zstd).st_ino, [os.stat(path).st_ino for path in copy])
        self.assertIn("compressed with xz", self.make(422, name="x", **{"import": squash("xz")})["detail"])
        os.truncate(zstd, os.path.getsize(zstd) // 2)
        self.assertIn("cut short", self.make(422, name="x", **{"import": zstd})["detail"])
        self.assertIn("no bin, sbin or usr", self.make(422, name="x", **{"import": "/proc/self"})["detail"])
        self.assert_no_staging()

    def test_a_layout_that_is_damaged(self):
        os.makedirs(f"{self.home}/layout")
        for text in (b"not json", b'{"schemaVersion": 2, "manifests": []}',
                     b'{"schemaVersion": 2, "layers": [{"digest": "sha256:../../x", "size": 1}]}'):
            for name, data in (("index.json", text), ("oci-layout", b"{}")):
                with open(f"{self.home}/layout/{name}", "wb") as f:
                    f.write(data)
            refused = self.make(422, name="x", **{"import": f"{self.home}/layout"})
            self.assertIn("OCI image layout", refused["remedy"], refused)
        os.unlink(f"{self.home}/layout/index.json")
        for make in (os.mkfifo, lambda path: os.symlink("/etc/passwd", path)):
            make(f"{self.home}/layout/index.json")
            refused = self.make(422, name="x", **{"import": f"{self.home}/layout"})
            self.assertIn("index.json is not a regular file", refused["detail"])
            os.unlink(f"{self.home}/layout/index.json")

    def test_a_file_that_is_no_image(self):
        for data, words in ((b"some text\n" * 100, "neither a squashfs nor a tar archive"), (b"", "neither a squashfs"),
                            (b"\x1f\x8b" + b"x" * 600, "layer 1 of 1: damaged")):
            with open(f"{self.home}/thing", "wb") as f:
                f.write(data)
            self.assertIn(words, self.make(422, name="x", **{"import": f"{self.home}/thing"})["detail"])
            self.assert_no_staging()

    def test_an_oci_layout_becomes_an_image(self):
        layout = f"{self.home}/layout"
        os.makedirs(f"{layout}/blobs/sha256")
        described = self.registry.image("t/disk", "1", [gz(busybox()), layer(member("two", b"2"))], {"Cmd": ["ls"]})
        blobs = {**self.registry.blobs, described["digest"]: self.registry.manifests["t/disk", "1"][1]}
        for digest, data in blobs.items():
            with open(f"{layout}/blobs/sha256/{digest[7:]}", "wb") as f:
                f.write(data)
        with open(f"{layout}/index.json", "w", encoding="ascii") as f:
            json.dump({"schemaVersion": 2, "manifests": [described]}, f)
        made = self.make(name="disk", **{"import": layout})
        again = self.pull("t/disk:1", name="same")
        self.assertEqual(2, len(self.names()) - 1)
        self.assertEqual(made["digest"], again["digest"])
        with open(f"{layout}/blobs/sha256/{described['digest'][7:]}", "ab") as f:
            f.write(b" ")
        self.assertIn("its sha256 is", self.make(422, name="bad", **{"import": layout})["detail"])
        self.assertIn("no OCI image layout", self.make(422, name="bad", **{"import": "/etc"})["detail"])

    def test_docker_archives_and_packed_layouts(self):
        """Written by hand as `docker save` and skopeo do, with a layer that is a link to another one."""
        base, top = busybox(), layer(member("top", b"1"))
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"], "Cmd": ["/bin/id"]},
                             "rootfs": {"type": "layers", "diff_ids": [sha256(base), sha256(top), sha256(base)]}}).encode()
        manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"],
                                "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]}]).encode()

        def save(name, *members):
            path = f"{self.home}/{name}.tar"
            with open(path, "wb") as f:
                f.write(layer(*members))
            return path
        good = [member("c.json", config), member("1/layer.tar", base), member("2/layer.tar", top),
                symlink("3/layer.tar", "../1/layer.tar"), member("manifest.json", manifest)]
        path = save("docker", *good)
        self.make(201, name="docker", **{"import": path})
        self.server.create("d", image="docker", boot="cold")
        self.assertEqual("1b\n", self.server.run("d", "sh", "-c", "cat /top; echo $A"))
        damaged = save("damaged", *good[:2], member("2/layer.tar", layer(member("top", b"2"))), *good[3:])
        self.assertIn("2/layer.tar: its sha256 is", self.make(422, name="bad", **{"import": damaged})["detail"])
        missing = save("missing", *good[:2], *good[3:])
        self.assertIn("2/layer.tar is not there", self.make(422, name="bad", **{"import": missing})["detail"])
        circle = save("circle", good[0], symlink("1/layer.tar", "../1/layer.tar"), good[2], good[3], good[4])
        self.assertIn("1/layer.tar is not there", self.make(422, name="bad", **{"import": circle})["detail"])
        self.assert_no_staging()
        packed = f"{self.home}/packed.tar"
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", f"docker-archive:{path}",
                        f"oci-archive:{packed}:latest"], check=True, stdin=subprocess.DEVNULL)
        self.make(201, name="packed", **{"import": packed})
        self.server.create("p", image="packed", boot="cold")
        self.assertEqual("1", self.server.run("p", "cat", "/top"))

    # --- names ---

    def test_tags_sizes_and_what_nothing_refers_to(self):
        self.registry.image("t/n", "1", [gz(busybox())])
        self.registry.image("t/n", "2", [gz(busybox()), gz(layer(member("two", b"2")))])
        first = self.pull("t/n:1", name="n")
        self.assertEqual(404, self.server.call("POST", "/images/nobody/tag", {"name": "x"}).status)
        tagged = self.server.must(201, "POST", "/images/n/tag", {"name": "other"})
        self.assertEqual(first["digest"], tagged["digest"])
        size = self.server.must(200, "GET", "/images/n/size")
        self.assertGreater(size["real_bytes"], 1000)
        self.assertEqual((size["real_bytes"], 0), (size["shared_bytes"], size["freed_bytes"]))
        vm = self.server.create("v", image="n", start=False)
        self.pull("t/n:2", name="n")
        self.assertEqual(204, self.server.call("DELETE", "/images/other").status)
        old = f"{self.home}/state/images/{first['digest'].replace(':', '-')}"
        self.assertTrue(os.path.exists(old), "the VM needs it, whatever the names say")
        self.assertEqual("ok\n", self.server.run("v", "echo", "ok") if self.server.must(
            200, "POST", "/vms/v/start", wait=120) else "")
        self.server.must(204, "DELETE", f"/vms/{vm['id']}", wait=60)
        os.utime(old, (1, 1))
        young = f"{self.home}/state/images/sha256-{'0' * 64}"
        os.mkdir(young)
        free = self.server.must(200, "POST", "/cache/prune", {"dry_run": True}, wait=60)["result"]["bytes"]
        self.assertTrue(os.path.exists(old))
        self.assertGreaterEqual(free, size["real_bytes"])
        self.server.must(200, "POST", "/cache/prune", {}, wait=60)
        self.assertFalse(os.path.exists(old))
        self.assertTrue(os.path.exists(young), "its name may be on its way")
        self.server.must(200, "POST", "/images/n/verify", wait=60)

    def test_a_vm_brings_its_image(self):
        self.registry.image("t/auto", "1", [gz(busybox())])
        digest = self.registry.image("t/auto", "2", [gz(busybox(member("two", b"2")))])["digest"]
        vm = self.server.must(201, "POST", "/vms", {"name": "a", "image": self.reference("t/auto:1")}, wait=120)
        self.assertEqual(self.reference("t/auto:1"), vm["image"])
        self.assertEqual("root\n", self.server.run("a", "id", "-un"))
        reply = self.server.call("POST", "/vms", {"name": "b", "image": self.reference("t/none:1")}, {"Prefer": "wait=60"})
        self.assertEqual(404, reply.status)
        self.assertEqual(404, self.server.call("POST", "/vms", {"name": "b", "image": "unheard-of"}).status)
        os.makedirs(f"{self.home}/config", exist_ok=True)
        names = f"{self.home}/config/catalog.list"
        with open(names, "w", encoding="ascii") as f:
            f.write(f"# ours\nimage tools {self.reference('t/auto')}@{digest}\n")
        items = {i["name"]: i for i in self.server.must(200, "GET", "/catalog")["items"]}
        self.assertTrue(items["tools"]["own"])
        self.assertFalse(items["ubuntu"]["here"])
        run = self.server.call("POST", "/runs", {"image": "tools", "argv": ["cat", "/two"]},
                               {"Prefer": "wait=120", "Accept": "application/json"})
        self.assertEqual("succeeded", run.json().get("state"), run)
        self.assertIn("tools", self.names())
        self.registry.image("t/auto", "2", [gz(busybox(member("other", b"3")))])
        wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        with open(names, "a", encoding="ascii") as f:
            f.write(f"image moved {self.reference('t/auto')}:2@{digest}\nimage wrong {self.reference('t/auto')}:2@{wrong}\n")
        self.assertEqual(201, self.server.call("POST", "/images", {"pull": "moved"}, {"Prefer": "wait=60"}).status)
        self.server.must(204, "DELETE", "/vms/a", wait=60)
        self.server.create("c", image="moved", boot="cold")
        self.assertEqual("2", self.server.run("c", "cat", "/two"), "the digest counts, not the tag beside it")
        media, text = self.registry.manifests["t/auto", digest]
        self.registry.manifests["t/auto", wrong] = (media, text)
        refused = self.server.call("POST", "/images", {"pull": "wrong"}, {"Prefer": "wait=60"})
        self.assertEqual(502, refused.status, refused)
        self.assertIn("its digest is", refused.json()["detail"])

    def test_a_list_of_names_that_is_known(self):
        os.makedirs(f"{self.home}/config", exist_ok=True)
        names = f"{self.home}/config/catalog.list"
        line = f"image tools {self.reference('t/tools')}\n".encode()
        with open(names, "wb") as f:
            f.write(line)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write(f"[images]\ncatalog_sha256 = {sha256(line)[7:]}\n")
        self.server.stop()
        self.server.start()
        self.assertIn("tools", [i["name"] for i in self.server.must(200, "GET", "/catalog")["items"]])
        with open(names, "ab") as f:
            f.write(b"image more evil.example.org/x\n")
        for call in (("GET", "/catalog"), ("POST", "/images", {"pull": "more"}), ("POST", "/images", {"pull": "ubuntu"})):
            refused = self.server.call(*call)
            self.assertEqual(422, refused.status, refused)
            self.assertIn("images.catalog_sha256 is", refused.json()["detail"])
            self.assertIn("Put the right list", refused.json()["remedy"])
        os.unlink(names)
        self.assertEqual(422, self.server.call("GET", "/catalog").status)

    def test_a_list_of_names_with_a_wrong_line(self):
        os.makedirs(f"{self.home}/config", exist_ok=True)
        with open(f"{self.home}/config/catalog.list", "w", encoding="ascii") as f:
            f.write(f"# ours\nimage tools {self.reference('t/auto')}\nimage broken\n")
        reply = self.server.call("GET", "/catalog")
        self.assertEqual(422, reply.status)
        self.assertIn("catalog.list:3: image wants NAME REFERENCE", reply.json()["detail"])
        self.assertIn("it is read anew each time", reply.json()["remedy"])
        os.unlink(f"{self.home}/config/catalog.list")
        os.mkdir(f"{self.home}/config/catalog.list")
        reply = self.server.call("GET", "/catalog")
        self.assertEqual(422, reply.status)
        self.assertIn("catalog.list: Is a directory", reply.json()["detail"])
        self.assertIn("it is read anew each time", reply.json()["remedy"])

    def test_images_are_verified(self):
        self.registry.image("t/whole", "1", [gz(busybox())])
        digest = self.pull("t/whole:1", name="whole")["digest"]
        self.server.must(200, "POST", "/images/whole/verify", wait=60)
        path = f"{self.home}/state/images/{digest.replace(':', '-')}/root.squashfs"
        with open(path, "r+b") as f:
            f.seek(2000)
            f.write(b"damage")
        reply = self.server.call("POST", "/images/whole/verify", headers={"Prefer": "wait=60"})
        self.assertEqual(500, reply.status)
        self.assertIn("is damaged", reply.json()["detail"])
        self.assertEqual(404, self.server.call("POST", "/images/nobody/verify").status)

    def test_the_cache_is_pruned(self):
        data = gz(busybox())
        self.registry.image("t/cached", "1", [data])
        self.pull("t/cached:1", name="cached")
        prune = {"dry_run": True}
        shutil.rmtree(f"{self.home}/cache/disks", ignore_errors=True)
        os.makedirs(f"{self.home}/cache/disks", exist_ok=True)
        with open(f"{self.home}/cache/disks/ext4-16777215", "wb") as f:
            f.write(b"x" * (1 << 20))
        before = self.server.must(200, "POST", "/cache/prune", prune, wait=60)["result"]["bytes"]
        self.assertGreaterEqual(before, len(data) + (1 << 20))
        self.assertEqual(0, self.server.must(200, "POST", "/cache/prune", {"unused_s": 3600}, wait=60)["result"]["bytes"])
        self.assertEqual(before, self.server.must(200, "POST", "/cache/prune", {}, wait=60)["result"]["bytes"])
        self.assertEqual([], os.listdir(f"{self.home}/cache/blobs"))
        self.assertEqual([], os.listdir(f"{self.home}/cache/disks"))
        self.server.must(200, "POST", "/images/cached/verify", wait=60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
