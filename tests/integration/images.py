# SPDX-License-Identifier: Apache-2.0
"""Images of a registry: pulled, unpacked, booted; and every way in which one can be wrong."""
import base64
import gzip
import json
import os
import re
import subprocess
import tempfile
import threading
import unittest

from harness import LifeTest, wait_until
from registry import DOCKER, Registry, folder, gz, hardlink, layer, member, sha256, symlink

with open("/bin/busybox", "rb") as file:
    BUSYBOX = file.read()

APPLETS = ("sh", "cat", "ls", "stat", "id", "echo", "find", "readlink", "test", "env", "pwd", "sleep", "sha256sum")


def busybox(*more):
    """The least that a guest can do something with."""
    return layer(folder("bin"), member("bin/busybox", BUSYBOX, mode=0o755),
                 *[symlink(f"bin/{name}", "busybox") for name in APPLETS],
                 folder("etc"), member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
                 member("etc/group", b"root:x:0:\nann:x:1000:\n"), *more)


class Images(LifeTest):
    def setUp(self):
        super().setUp()
        self.registry = Registry()
        self.addCleanup(self.registry.close)
        self.docker = tempfile.mkdtemp(prefix="bgt-docker-", dir=self.home)
        self.server.env["DOCKER_CONFIG"] = self.docker
        self.server.start()

    def reference(self, name):
        return f"{self.registry.host}/{name}"

    def pull(self, what, status=201, **fields):
        reply = self.server.call("POST", "/images", {"pull": self.reference(what), **fields}, {"Prefer": "wait=120"})
        self.assertEqual(status, reply.status, reply)
        return reply.json()

    def refused(self, name, *words, status=None):
        """A pull that fails, saying so, and leaves nothing."""
        reply = self.server.call("POST", "/images", {"pull": self.reference(name)}, {"Prefer": "wait=120"})
        self.assertGreaterEqual(reply.status, 400, reply)
        if status:
            self.assertEqual(status, reply.status, reply)
        for word in words:
            self.assertIn(word, reply.json()["detail"])
        self.assert_no_staging()
        self.assertNotIn(self.reference(name), self.names())
        return reply.json()

    def names(self):
        return [image["name"] for image in self.server.must(200, "GET", "/images")["items"]]

    def assert_no_staging(self):
        self.assertEqual([], [name for name in os.listdir(f"{self.home}/state/images") if name.startswith(".")])

    def boot(self, name, vm="a"):
        self.server.create(vm, image=self.reference(name), boot="cold")
        return lambda *argv, **fields: self.server.run(vm, *argv, **fields)

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
        self.boot("t/own:1")
        result = self.server.must(200, "POST", "/vms/a/exec", {})
        self.assertEqual((3, "ann\n/srv/work\nblue 1\n"), (result["exit_code"], result["stdout"]))
        result = self.server.must(200, "POST", "/vms/a/exec", {
            "argv": ["sh", "-c", "id -un; pwd; echo $COLOUR $SIZE"], "env": {"COLOUR": "red"}, "user": "root", "cwd": "/"})
        self.assertEqual("root\n/\nred 1\n", result["stdout"])
        self.registry.image("t/silent", "1", [gz(busybox())])
        self.pull("t/silent:1")
        self.boot("t/silent:1", "b")
        reply = self.server.call("POST", "/vms/b/exec", {})
        self.assertEqual(422, reply.status)
        self.assertIn("names no command", reply.json()["detail"])

    # --- from files, and what becomes of them ---

    def make(self, status=201, **body):
        reply = self.server.call("POST", "/images", body, {"Prefer": "wait=120"})
        self.assertEqual(status, reply.status, reply)
        return reply.json()

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
        self.make(name="disk", **{"import": layout})
        again = self.pull("t/disk:1", name="same")
        self.assertEqual(2, len(self.names()) - 1)
        self.assertTrue(again["digest"].startswith("sha256:"))
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
        with open(names, "a", encoding="ascii") as f:
            f.write("image broken\n")
        reply = self.server.call("GET", "/catalog")
        self.assertEqual(422, reply.status)
        self.assertIn("catalog.list:3: image wants NAME REFERENCE", reply.json()["detail"])

    def test_kernels_from_files_and_addresses(self):
        def kernel(status=201, **fields):
            reply = self.server.call("POST", "/kernels", fields, {"Prefer": "wait=120"})
            self.assertEqual(status, reply.status, reply)
            return reply.json()
        row = self.server.must(200, "GET", "/kernels")["items"][0]
        folders = os.listdir(f"{self.home}/state/kernels")
        there = f"{self.home}/state/kernels/{folders[0]}"
        with open(f"{there}/vmlinux", "rb") as f:
            elf = f.read()
        made = kernel(name="copy", file=f"{there}/vmlinux", modules=f"{there}/modules")
        self.assertEqual(row["version"], made["version"])
        self.server.create("k", image="mini", kernel="copy", boot="cold")
        self.assertEqual(row["version"] + "\n", self.server.run("k", "uname", "-r"))
        self.assertIn("the kernel lacks virtio_mmio (finds the virtual devices), virtio_blk (disks)",
                      kernel(422, name="bare", file=f"{there}/vmlinux")["detail"])
        self.assertIn("neither a bzImage", kernel(422, name="text", file="/etc/passwd")["detail"])
        self.assertIn("/name", kernel(422, file=f"{there}/vmlinux")["detail"])
        kernel(422, name="two", file="/x", url="https://example.org/x", sha256="0" * 64)
        digest = self.registry.blob(b"no kernel" * 1000)
        url = f"http://{self.registry.host}/v2/k/blobs/{digest}"
        self.assertIn("neither a bzImage", kernel(422, name="url", url=url, sha256=digest[7:])["detail"])
        self.assertIn("its sha256 is", kernel(502, name="url", url=url, sha256="1" * 64)["detail"])
        self.assertIn("http is for this machine",
                      kernel(422, name="url", url="http://192.0.2.1/k", sha256="1" * 64)["detail"])
        self.assertEqual([], [n for n in os.listdir(f"{self.home}/state/kernels") if n.startswith(".")])
        self.assertEqual(len(elf), os.path.getsize(f"{there}/vmlinux"))

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
        before = self.server.must(200, "POST", "/cache/prune", prune, wait=60)["result"]["bytes"]
        self.assertGreaterEqual(before, len(data))
        self.assertEqual(0, self.server.must(200, "POST", "/cache/prune", {"unused_s": 3600}, wait=60)["result"]["bytes"])
        self.assertEqual(before, self.server.must(200, "POST", "/cache/prune", {}, wait=60)["result"]["bytes"])
        self.assertEqual([], os.listdir(f"{self.home}/cache/blobs"))
        self.server.must(200, "POST", "/images/cached/verify", wait=60)

    # --- who may ---

    def log_in(self, user, password):
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        with open(f"{self.docker}/config.json", "w", encoding="ascii") as f:
            json.dump({"auths": {self.registry.host: {"auth": auth}}}, f)

    def test_tokens(self):
        self.registry.users = {"ann": "right"}
        self.registry.image("t/secret", "1", [gz(busybox()), gz(layer(member("x"))), gz(layer(member("y")))])
        self.refused("t/secret:1", "credentials")
        self.log_in("ann", "wrong")
        self.refused("t/secret:1", "credentials")
        self.log_in("ann", "right")
        self.registry.token_uses = 2    # each expires in the middle
        self.pull("t/secret:1")
        self.assertGreater(len(self.registry.tokens), 1)
        for _, _, headers in self.registry.requests("/v2/"):
            self.assertNotIn("Basic", headers.get("Authorization", ""))

    def test_credentials_stay_with_the_registry(self):
        self.registry.users = {"ann": "right"}
        self.log_in("ann", "right")
        data = gz(busybox())
        self.registry.image("t/moved", "1", [data])
        other = Registry()
        self.addCleanup(other.close)
        other.blob(data)
        moved = f"http://{other.host}/v2/x/blobs/{sha256(data)}"
        self.registry.times(1, sha256(data), lambda h: self.registry.reply(h, 307, Location=moved))
        self.pull("t/moved:1")
        self.assertEqual(1, len(other.log))
        self.assertNotIn("Authorization", other.log[0][2])

    # --- what goes wrong on the way ---

    def test_downloads_go_on_where_they_broke_off(self):
        data = gz(busybox(member("random", os.urandom(300000))))
        self.registry.image("t/cut", "1", [data])
        self.registry.cut(1, sha256(data), 200000)
        self.pull("t/cut:1")
        asked = [headers.get("Range") for _, _, headers in self.registry.requests(sha256(data))]
        self.assertEqual(2, len(asked))
        self.assertIsNone(asked[0])
        self.assertRegex(asked[1], r"bytes=\d+-")

    def test_a_later_pull_takes_up_what_an_earlier_one_left(self):
        data = gz(busybox(member("random", os.urandom(300000))))
        self.registry.image("t/later", "1", [data])
        self.registry.cut(1, sha256(data), 200000)
        self.registry.status(1, sha256(data), 403)
        self.refused("t/later:1", "layer 1 of 1", "forbids")
        self.pull("t/later:1")
        self.assertRegex(self.registry.requests(sha256(data))[-1][2].get("Range", ""), r"bytes=\d+-")

    def test_bytes_that_were_left_wrong_are_fetched_again(self):
        data = gz(busybox())
        self.registry.image("t/left", "1", [data])
        os.makedirs(f"{self.home}/cache/blobs", exist_ok=True)
        digest = sha256(data).removeprefix("sha256:")
        with open(f"{self.home}/cache/blobs/part-{digest}", "wb") as f:
            f.write(b"x" * 1000)
        self.pull("t/left:1")
        with open(f"{self.home}/cache/blobs/sha256-{digest}", "r+b") as f:
            f.write(b"damaged")
        self.registry.image("t/left", "2", [data, layer(member("new"))])
        self.pull("t/left:2")

    def test_a_registry_that_is_busy_is_asked_again(self):
        data = gz(busybox())
        self.registry.image("t/busy", "1", [data])
        self.registry.status(1, "manifests", 429, Retry_After="1")
        self.registry.status(2, "blobs", 503)
        self.pull("t/busy:1")
        self.registry.status(1000, "manifests/2", 500)
        self.refused("t/busy:2", "manifest", "status 500", "gave up after 5 tries", status=502)

    def test_a_registry_that_brings_nothing_new_is_given_up(self):
        data = gz(busybox(member("random", os.urandom(300000))))
        self.registry.image("t/short", "1", [data])
        self.registry.cut(1000, sha256(data), 200000)   # each time from the first byte
        self.refused("t/short:1", "layer 1 of 1", "gave up after 5 tries", status=502)
        self.assertLess(len(self.registry.requests(sha256(data))), 12)

    def test_a_registry_that_trickles_is_given_up(self):
        self.server.stop()
        os.makedirs(f"{self.home}/config", exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write("[images]\nstall_s = 1\n")
        self.server.start()
        data = gz(busybox(member("random", os.urandom(300000))))
        self.registry.image("t/trickle", "1", [data])
        over = threading.Event()
        self.addCleanup(over.set)

        def trickle(handler):
            first = int((re.findall(r"bytes=(\d+)-", handler.headers.get("Range", "")) or ["0"])[0])
            handler.send_response(206 if first else 200)
            handler.send_header("Content-Length", str(len(data) - first))
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            handler.end_headers()
            handler.close_connection = True
            for i in range(first, len(data)):
                handler.wfile.write(data[i:i + 1])
                handler.wfile.flush()
                if over.wait(0.05):
                    return
        self.registry.times(1000, sha256(data), trickle)
        self.refused("t/trickle:1", "layer 1 of 1", "too slow", "gave up after 5 tries", status=504)
        asked = [headers.get("Range") for _, _, headers in self.registry.requests(sha256(data))]
        self.assertEqual(5, len(asked), asked)
        self.assertRegex(asked[-1], r"bytes=\d+-", "what trickled in is kept")

    def test_what_is_not_there(self):
        self.refused("t/nothing:1", "manifest", "does not have it", status=404)
        self.registry.image("t/half", "1", [gz(busybox())])
        for name in list(self.registry.blobs):
            if self.registry.blobs[name][:2] == b"\x1f\x8b":
                del self.registry.blobs[name]
        self.refused("t/half:1", "layer 1 of 1", status=404)

    def test_redirects_lead_nowhere_else(self):
        self.registry.image("t/away", "1", [gz(busybox())])
        for target in ("file:///etc/passwd", "gopher://127.0.0.1/x", "ftp://127.0.0.1/x"):
            self.registry.answers.clear()
            self.registry.times(1, "blobs", lambda h, t=target: self.registry.reply(h, 302, Location=t))
            self.refused("t/away:1", "redirects to", status=502)
        self.registry.answers.clear()
        self.registry.times(100, "manifests", lambda h: self.registry.reply(h, 302, Location=h.path))
        self.refused("t/away:1", "redirects to nowhere", status=502)

    def test_lies(self):
        data = gz(busybox())

        def other_digest(document):
            document["layers"][0]["digest"] = sha256(b"something else")
        self.registry.image("t/digest", "1", [data], change=other_digest)
        wrong = sha256(b"something else")
        self.registry.blobs[wrong] = data
        self.refused("t/digest:1", "layer 1 of 1", "sha256", status=502)
        self.assertNotIn(wrong.replace(":", "-"), os.listdir(f"{self.home}/cache/blobs"))

        def larger(document):
            document["layers"][0]["size"] += 100
        self.registry.image("t/larger", "1", [data], change=larger)
        self.refused("t/larger:1", "layer 1 of 1", status=502)

        def smaller(document):
            document["layers"][0]["size"] -= 100
        self.registry.image("t/smaller", "1", [data], change=smaller)
        self.refused("t/smaller:1", "more bytes came", status=502)
        good = self.registry.image("t/asked", "1", [data])
        with self.registry.lock:
            media, text = self.registry.manifests["t/asked", good["digest"]]
            self.registry.manifests["t/asked", good["digest"]] = (media, text + b" ")
        self.refused(f"t/asked@{good['digest']}", "its digest is", status=502)

    # --- layers that want to do harm ---

    def test_hostile_layers(self):
        bomb = gzip.compress(b"\0" * (1 << 20), 9)
        cases = {
            "climb": (layer(member("../../etc/evil", b"x")), "'..' in a name"),
            "absolute": (layer(member("/etc/evil", b"x")), "an absolute name"),
            "link": (layer(hardlink("x", "../../etc/passwd")), "'..' in a name"),
            "dangling": (layer(hardlink("x", "nothing")), "hard link to what is not there"),
            "cut": (gz(busybox())[:-1000], "damaged"),
            "garbage": (b"\x1f\x8b" + os.urandom(5000), "layer 2 of 2"),
            "text": (b"no archive at all" * 100, "layer 2 of 2"),
            "twice": (gz(bomb), "layer 2 of 2"),
        }
        for name, (data, words) in cases.items():
            with self.subTest(name):
                self.registry.image(f"t/{name}", "1", [gz(busybox()), data])
                self.refused(f"t/{name}:1", "layer 2 of 2", words)
        self.assertFalse(os.path.exists("/etc/evil"))

    def test_a_link_out_of_the_image_stays_inside(self):
        self.registry.image("t/out", "1", [gz(busybox(symlink("out", "../../../.."), symlink("tmpdir", self.home))),
                                           layer(member("out/inside", b"1"), member("tmpdir/evil", b"2"))])
        self.pull("t/out:1")
        self.assertFalse(os.path.exists(f"{self.home}/evil"))
        run = self.boot("t/out:1")
        self.assertEqual("1", run("cat", "/inside"))
        self.assertEqual("2", run("cat", f"{self.home}/evil"))

    # --- several, and the end ---

    def test_two_who_want_the_same(self):
        data = gz(busybox())
        self.registry.image("t/same", "1", [data])
        threads = [threading.Thread(target=self.pull, args=("t/same:1",), kwargs={"name": f"n{i}"})
                   for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(4, len([n for n in self.names() if n.startswith("n")]))
        self.assertEqual(1, len(self.registry.requests(sha256(data))))
        self.assert_no_staging()

    def test_a_pull_can_be_cancelled(self):
        self.registry.image("t/slow", "1", [gz(busybox())])
        begun, over = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def hang(_):
            begun.set()
            over.wait(60)
        self.registry.times(1, "blobs", hang)
        op = self.server.must(202, "POST", "/images", {"pull": self.reference("t/slow:1")})
        self.assertTrue(begun.wait(60))
        self.server.call("DELETE", f"/operations/{op['id']}")
        self.assertEqual("cancelled", self.server.wait_operation(op["id"])["state"])
        over.set()
        self.assert_no_staging()
        self.pull("t/slow:1")

    def test_stages_and_progress_are_told(self):
        self.registry.image("t/told", "1", [gz(busybox())])
        op = self.server.must(202, "POST", "/images", {"pull": self.reference("t/told:1")})
        done = self.server.wait_operation(op["id"])
        self.assertEqual(["resolve", "download", "scan", "squashfs", "digest", "publish"],
                         [stage["name"] for stage in done["stages"] if stage["name"] != "queued"])
        wait_until(lambda: self.reference("t/told:1") in self.names(), "the image is listed")

    def test_names_that_are_none(self):
        for name in ("UPPER/x", "x//y", "x:", "x@sha256:12"):
            reply = self.server.call("POST", "/images", {"pull": f"{self.registry.host}/{name}"})
            self.assertEqual(422, reply.status, reply)
        for body in ({}, {"build": "mini", "pull": "x"}):
            self.assertEqual(422, self.server.call("POST", "/images", body).status)


if __name__ == "__main__":
    unittest.main(verbosity=2)
