# SPDX-License-Identifier: Apache-2.0
"""Pulls: who may, what goes wrong on the way, and registries that lie or want to do harm."""
import base64
import gzip
import json
import os
import re
import subprocess
import tarfile
import threading
import unittest
import zlib

from harness import wait_until
from image_test import ImageTest, busybox
from registry import OCI, Registry, gz, hardlink, layer, member, sha256, symlink


class Pulls(ImageTest):
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

    def test_a_host_that_is_not_found(self):
        reply = self.server.must(502, "POST", "/images", {"pull": "registry.invalid/t:1"}, wait=60)
        self.assertIn("gave up after 5 tries", reply["detail"])

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

    def test_documents_that_are_none(self):
        """Each is the registry's fault, and is called so."""
        for tag, text in (("empty", b""), ("word", b"not json"), ("deep", b"[" * 200000), ("large", b" " * (9 << 20))):
            self.registry.manifests["t/none", tag] = (f"{OCI}.manifest.v1+json", text)
            self.refused(f"t/none:{tag}", "manifest", status=502)

        def other_config(document):
            document["config"]["digest"] = self.registry.blob(b"{]")
            document["config"]["size"] = 2
        self.registry.image("t/config", "1", [gz(busybox())], change=other_config)
        self.refused("t/config:1", "configuration: not valid JSON", status=502)
        self.registry.image("t/realm", "1", [gz(busybox())])
        for realm, words in (("file:///etc/passwd", "an address without a host"), ("ftp://127.0.0.1/x", "not supported"),
                             ("http://169.254.169.254/token", "a private address"), ("", "no realm")):
            self.registry.answers.clear()
            self.registry.times(10, "/v2/", lambda h, r=realm: self.registry.reply(
                h, 401, b"{}", WWW_Authenticate=f'Bearer realm="{r}",service="s"'))
            self.refused("t/realm:1", words, status=502)
        self.registry.answers.clear()
        self.registry.users = {"ann": "right"}
        for token in (b"[]", b"not json", json.dumps({"token": "x\r\nEvil: 1"}).encode(), b" " * (1 << 20)):
            self.registry.answers.clear()
            self.registry.times(10, "^/token", lambda h, t=token: self.registry.reply(h, 200, t))
            self.refused("t/realm:1", status=502)

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
            "text": (b"no archive at all" * 100, "damaged"),
            "twice": (gz(bomb), "damaged"),
        }
        for name, (data, words) in cases.items():
            with self.subTest(name):
                self.registry.image(f"t/{name}", "1", [gz(busybox()), data])
                self.refused(f"t/{name}:1", "layer 2 of 2", words)
        self.assertFalse(os.path.exists("/etc/evil"))

    def test_times_of_all_ages(self):
        """A squashfs has 32 bits for them."""
        times = {"before": (-5, 0), "last": (2 ** 31 - 1,) * 2, "first": (2 ** 31,) * 2, "never": (2 ** 60, 2 ** 32 - 1)}
        self.registry.image("t/times", "1", [gz(busybox(*[member(name, mtime=t) for name, (t, _) in times.items()]))])
        image = self.pull("t/times:1")
        squashfs = f"{self.home}/state/images/{image['digest'].replace(':', '-')}/root.squashfs"
        subprocess.run(["unsquashfs", "-q", "-n", "-no-xattrs", "-d", f"{self.home}/out", squashfs], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual({name: want for name, (_, want) in times.items()},
                         {name: int(os.stat(f"{self.home}/out/{name}").st_mtime) for name in times})

    def test_a_layer_that_becomes_more_than_there_is_room_for(self):
        with open(f"{self.home}/hole", "wb") as f:
            f.truncate(200 << 30)
        sparse = subprocess.run(["tar", "-C", self.home, "-S", "--format=posix", "-cf", "-", "hole"], check=True,
                                stdin=subprocess.DEVNULL, capture_output=True).stdout
        self.registry.image("t/hole", "1", [gz(busybox()), sparse])
        self.refused("t/hole:1", "layer 2 of 2: 'hole': the image is larger than 65536 MiB", status=413)

    def test_ten_million_names(self):
        """Of which the first are enough; each second one is the same as the one before."""
        block = member("name")[0].tobuf(format=tarfile.USTAR_FORMAT)
        base = sum(block) - sum(block[148:156]) + 8 * 32 - sum(b"name")
        packer = zlib.compressobj(1, wbits=31)
        parts = []
        for first in range(0, 10_000_000, 10_000):
            # Most of them are the same bytes again: what costs nothing to make is what hostile people make.
            if first < 1_100_000:
                blocks = bytearray(block * 10_000)
                for i in range(10_000):
                    name = b"%08d" % (first + i)
                    blocks[i * 512:i * 512 + 8] = name
                    blocks[i * 512 + 148:i * 512 + 156] = b"%06o\0 " % (base + sum(name))
            parts.append(packer.compress(blocks))
        parts.append(packer.compress(bytes(1024)) + packer.flush())
        self.registry.image("t/names", "1", [gz(busybox()), b"".join(parts)])
        self.refused("t/names:1", "layer 2 of 2", "more than 1000000 names", status=413)

    def test_a_disk_that_is_full(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: a small file system is mounted")
        images = f"{self.home}/state/images"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", images], check=False, capture_output=True)
        if done.returncode:
            self.skipTest(f"no mounts here: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", images], check=False)
        self.registry.image("t/large", "1", [gz(busybox(member("random", os.urandom(6 << 20))))])
        self.refused("t/large:1", "is the disk full", status=507)
        self.assertLess(int(os.statvfs(images).f_blocks - os.statvfs(images).f_bfree), 10)

    def test_a_link_out_of_the_image_stays_inside(self):
        self.registry.image("t/out", "1", [gz(busybox(symlink("out", "../../../.."), symlink("tmpdir", self.home))),
                                           layer(member("out/inside", b"1"), member("tmpdir/evil", b"2"))])
        self.pull("t/out:1")
        self.assertFalse(os.path.exists(f"{self.home}/evil"))
        run = self.boot("t/out:1")
        self.assertEqual("1", run("cat", "/inside"))
        self.assertEqual("2", run("cat", f"{self.home}/evil"))

    def test_what_to_do_next_is_said(self):
        """Each way to fail has words of its own."""
        self.registry.image("t/good", "1", [gz(busybox())])
        self.registry.image("t/evil", "1", [gz(busybox()), layer(member("../x"))])
        said = [self.refused("t/nothing:1", status=404)["remedy"], self.refused("t/evil:1", status=422)["remedy"]]
        with open(f"{self.home}/hole", "wb") as f:
            f.truncate(200 << 30)
        self.registry.image("t/hole", "1", [subprocess.run(
            ["tar", "-C", self.home, "-S", "--format=posix", "-cf", "-", "hole"], check=True, stdin=subprocess.DEVNULL,
            capture_output=True).stdout])
        said.append(self.refused("t/hole:1", status=413)["remedy"])
        self.registry.status(1000, "t/away/", 500)
        said.append(self.refused("t/away:1", status=502)["remedy"])
        self.registry.status(1000, "t/shut/", 403)
        said.append(self.refused("t/shut:1", status=403)["remedy"])
        for remedy, words in zip(said, ("its tags", "who makes the image", "a smaller image", "the network", "docker login")):
            self.assertIn(words, remedy)
        op = self.server.must(202, "POST", "/images", {"pull": self.reference("t/evil:1")})
        self.assertEqual(said[1], self.server.wait_operation(op["id"])["error"]["remedy"])
        reply = self.server.call("POST", "/images", {"name": "x", "import": "/etc/passwd"}, {"Prefer": "wait=60"})
        self.assertIn("OCI image layout", reply.json()["remedy"], reply)
        reply = self.server.call("POST", "/kernels", {"name": "x", "file": "/etc/passwd"}, {"Prefer": "wait=60"})
        self.assertIn("debian-cloud", reply.json()["remedy"], reply)

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

    def test_who_joins_finds_it_made(self):
        """And makes it when the first one is cancelled."""
        data = gz(busybox(member("once", b"1")))
        self.registry.image("t/once", "1", [data])
        goes_on = threading.Event()
        self.addCleanup(goes_on.set)
        self.registry.times(1, sha256(data), lambda _: goes_on.wait(120))

        def pull(name):
            return self.server.must(202, "POST", "/images", {"pull": self.reference("t/once:1"), "name": name})["id"]

        def stage(op):
            return self.server.operation(op)["stages"][-1]["name"]
        first = pull("n0")
        wait_until(lambda: self.registry.requests(sha256(data)), "the first one downloads")
        others = [pull(f"n{i}") for i in range(1, 4)]
        wait_until(lambda: [stage(op) for op in others] == ["wait"] * 3, "the others wait")
        self.server.call("DELETE", f"/operations/{others[2]}")
        self.assertEqual("cancelled", self.server.wait_operation(others[2])["state"])
        self.server.call("DELETE", f"/operations/{first}")
        self.assertEqual("cancelled", self.server.wait_operation(first)["state"])
        done = [self.server.wait_operation(op) for op in others[:2]]
        self.assertEqual(["succeeded"] * 2, [op["state"] for op in done], done)
        self.assertEqual(1, sum(stage["name"] == "squashfs" for op in done for stage in op["stages"]), done)
        self.assertEqual({"n1", "n2"}, {n for n in self.names() if n.startswith("n")})
        self.assertEqual([], [n for n in os.listdir(f"{self.home}/cache/pulled") if n.startswith("lock")])
        self.assert_no_staging()

    def test_one_that_goes_wrong_is_no_matter_of_the_others(self):
        over = threading.Event()
        self.addCleanup(over.set)
        shared = gz(busybox())
        self.registry.image("t/stuck", "1", [shared, gz(layer(member("slow")))])
        self.registry.times(1, sha256(gz(layer(member("slow")))), lambda _: over.wait(120))
        stuck = self.server.must(202, "POST", "/images", {"pull": self.reference("t/stuck:1")})
        self.registry.image("t/evil", "1", [shared, layer(member("../x"))])
        self.registry.image("t/good", "1", [shared, gz(layer(member("good", b"1")))])
        wait_until(lambda: self.registry.requests("t/stuck/blobs"), "the first one is under way")
        self.refused("t/evil:1", "'..' in a name")
        self.pull("t/good:1")
        self.assertEqual("running", self.server.operation(stuck["id"])["state"])
        self.server.call("DELETE", f"/operations/{stuck['id']}")
        self.assertEqual("cancelled", self.server.wait_operation(stuck["id"])["state"])
        self.assert_no_staging()
        self.assertEqual("1", self.boot("t/good:1")("cat", "/good"))

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
