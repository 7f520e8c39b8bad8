# SPDX-License-Identifier: Apache-2.0
"""Files of a guest: bytes in and out, ranges, folders, trees as tar, and what can't be done."""
import base64
import concurrent.futures
import contextlib
import hashlib
import io
import json
import os
import socket
import tarfile
import time
import unittest

from harness import LifeTest, UnixConnection, wait_until

BIN = {"Content-Type": "application/octet-stream"}
TAR = {"Content-Type": "application/x-tar"}
WORKS_MAX = 32  # as in agent/service/work.h


class Files(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")

    def put(self, path, data, query="", headers=None, status=204):
        return self.server.must(status, "PUT", f"/vms/a/files/{path}{query}", data, headers=headers or BIN)

    def get(self, path, headers=None, status=200):
        reply = self.server.call("GET", f"/vms/a/files/{path}", headers=headers)
        self.assertEqual(status, reply.status, reply)
        return reply

    def test_a_file_comes_back_as_it_was(self):
        data = os.urandom(3 * 1024 * 1024 + 17)
        self.put("root/data.bin", data, "?mode=0640&uid=5&gid=7")
        self.assertEqual(hashlib.sha256(data).hexdigest(),
                         self.server.run("a", "sha256sum", "/root/data.bin").split()[0])
        reply = self.get("root/data.bin")
        self.assertEqual(data, reply.body)
        self.assertEqual("0640", reply.headers["Banger-File-Mode"])
        self.assertEqual("5:7", reply.headers["Banger-File-Owner"])
        part = self.get("root/data.bin", {"Range": "bytes=1000-1999"}, 206)
        self.assertEqual(data[1000:2000], part.body)
        self.assertEqual(f"bytes 1000-1999/{len(data)}", part.headers["Content-Range"])
        self.assertEqual(data[-17:], self.get("root/data.bin", {"Range": f"bytes={len(data) - 17}-"}, 206).body)
        last = self.get("root/data.bin", {"Range": "bytes=-21"}, 206)
        self.assertEqual(data[-21:], last.body)
        self.assertEqual(f"bytes {len(data) - 21}-{len(data) - 1}/{len(data)}", last.headers["Content-Range"])
        self.assertEqual(data, self.get("root/data.bin", {"Range": f"bytes=-{10 * len(data)}"}, 206).body)
        for range_ in (f"bytes={len(data)}-", "bytes=-0", "bytes=99999999999999999999999-"):
            outside = self.get("root/data.bin", {"Range": range_}, 416)
            self.assertEqual(f"bytes */{len(data)}", outside.headers["Content-Range"])
        for range_ in ("bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=--5", "bytes=x"):
            self.assertEqual(len(data), len(self.get("root/data.bin", {"Range": range_}).body), range_)
        self.put("root/data.bin", b"XY", "?offset=10")
        self.assertEqual(data[:10] + b"XY" + data[12:20], self.get("root/data.bin").body[:20])

    def test_head_describes_a_file_and_spoils_no_reply_behind_it(self):
        self.put("root/head", b"twelve bytes")
        reply = self.server.raw("HEAD", "/vms/a/files/root/head")
        self.assertEqual((200, b""), (reply.status, reply.body))
        self.assertEqual(("12", "12"), (reply.headers["Banger-File-Size"], reply.headers["Content-Length"]))
        self.assertIsNone(reply.headers["Connection"])
        self.assertEqual("12", self.get("root/head").headers["Content-Length"])
        folder = self.server.raw("HEAD", "/vms/a/files/root")
        self.assertEqual((200, b"", "dir"), (folder.status, folder.body, folder.headers["Banger-File-Type"]))
        self.assertEqual(404, self.server.raw("HEAD", "/vms/a/files/root/none").status)
        # More than fits between guest and client: nothing of it is under way behind the reply.
        self.put("root/large", bytes(5 << 20))
        self.assertEqual(str(5 << 20), self.server.raw("HEAD", "/vms/a/files/root/large").headers["Content-Length"])

    def test_what_is_beside_a_file_is_left_alone(self):
        """Names like those that a file has until it is whole are anybody's."""
        self.server.run("a", "sh", "-c", "mkdir /root/d && cd /root/d && for i in $(seq 200); do echo $i >.banger-$i; done")
        self.put("root/d/file", b"whole")
        self.assertEqual("200\nwhole", self.server.run("a", "sh", "-c", "cd /root/d; cat .banger-* | wc -l; cat file"))

    def test_a_client_that_has_it_gets_no_bytes(self):
        self.put("root/seen", b"one")
        tag = self.get("root/seen").headers["ETag"]
        for value in (tag, "*", f'"other", W/{tag}'):
            reply = self.get("root/seen", {"If-None-Match": value}, 304)
            self.assertEqual((b"", tag), (reply.body, reply.headers["ETag"]))
        self.assertEqual(304, self.server.raw("HEAD", "/vms/a/files/root/seen", headers={"If-None-Match": tag}).status)
        self.assertEqual(b"ne", self.get("root/seen", {"Range": "bytes=1-", "If-Range": tag}, 206).body)
        self.put("root/seen", b"two")
        self.assertEqual(b"two", self.get("root/seen", {"If-None-Match": tag}).body)
        self.assertEqual(b"two", self.get("root/seen", {"Range": "bytes=1-", "If-Range": tag}).body)
        self.put("root/empty", b"")
        self.assertEqual(b"", self.get("root/empty").body)
        self.assertEqual("bytes */0", self.get("root/empty", {"Range": "bytes=0-"}, 416).headers["Content-Range"])

    def test_a_change_is_bound_to_a_version(self):
        self.put("root/f", b"0", headers={**BIN, "If-Match": "*"}, status=412)
        self.get("root/f", status=404)
        first = self.server.raw("PUT", "/vms/a/files/root/f", b"one", headers={**BIN, "If-None-Match": "*"})
        self.assertEqual(204, first.status, first)
        tag = self.get("root/f").headers["ETag"]
        self.assertEqual(tag, first.headers["ETag"])
        refused = self.put("root/f", b"two", headers={**BIN, "If-None-Match": "*"}, status=412)
        self.assertIn(tag.strip('"'), refused["detail"])
        self.put("root/f", os.urandom(1 << 20), headers={**BIN, "If-Match": '"other"'}, status=412)
        self.assertEqual(b"one", self.get("root/f").body)
        self.put("root/f", b"three", headers={**BIN, "If-Match": f'"other", {tag}'})
        refused = self.put("root/f", b"X", "?offset=0", headers={**BIN, "If-Match": tag}, status=412)
        self.assertIn("has changed", refused["detail"])
        refused = self.server.must(412, "DELETE", "/vms/a/files/root/f", headers={"If-Match": tag})
        self.assertEqual("precondition_failed", refused["code"])
        now = self.get("root/f").headers["ETag"]
        self.assertNotEqual(tag, now)
        self.server.must(412, "DELETE", "/vms/a/files/root/f", headers={"If-None-Match": f"W/{now}"})
        self.server.must(204, "DELETE", "/vms/a/files/root/f", headers={"If-Match": now})
        self.server.must(412, "DELETE", "/vms/a/files/root/f", headers={"If-Match": now})
        # DELETE is for the link itself, and one that leads nowhere is there.
        self.server.run("a", "sh", "-c", "cd /root; echo x >t; ln -s t link; ln -s nowhere dangling")
        self.server.must(412, "DELETE", "/vms/a/files/root/link", headers={"If-Match": self.get("root/t").headers["ETag"]})
        self.put("root/dangling", b"x", headers={**BIN, "If-None-Match": "*"}, status=412)
        self.server.must(204, "DELETE", "/vms/a/files/root/dangling", headers={"If-Match": "*"})
        self.assertEqual("link\nt\n", self.server.run("a", "sh", "-c", "cd /root; ls link t dangling 2>/dev/null || true"))
        tree = self.put("root/tree", b"", "?tar=true", {**TAR, "If-None-Match": "*"}, 422)
        self.assertIn("a tree has no version", tree["detail"])

    def change(self, method, fields):
        """A change of root/f with these header fields, some of them perhaps twice."""
        connection = UnixConnection(self.server.socket, 60)
        connection.putrequest(method, "/vms/a/files/root/f")
        body = {"PUT": b"new", "DELETE": None}[method]
        for name, value in (*(BIN.items() if body else ()), *fields, *([("Content-Length", "3")] if body else ())):
            connection.putheader(name, value)
        with contextlib.suppress(BrokenPipeError):  # a refusal does not wait for the body
            connection.endheaders(body)
        with contextlib.closing(connection):
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def test_conditions_that_are_not_as_they_should_be(self):
        self.put("root/f", b"old")
        tag = self.get("root/f").headers["ETag"]
        match, none = "If-Match", "If-None-Match"
        for fields, status in (
                # A list can come in several fields, whichever of them has what counts.
                (((none, '"x"'), (none, "*")), 400), (((none, '"x"'), (none, f"W/{tag}")), 412),
                (((none, tag), (none, '"x"')), 412), (((match, '"x"'), (match, '"y"')), 412),
                (((match, f"W/{tag}"), (match, '"x"')), 412),
                # Both kinds: each must hold.
                (((match, tag), (none, tag)), 412), (((match, "*"), (none, "*")), 412),
                # What is no list protects nothing, so nothing is done.
                (((match, f'"x", *'),), 400), (((match, "*, *"),), 400), (((match, tag.strip('"')),), 400),
                (((none, f"{tag} "[:-2]),), 400), (((none, ""),), 400), (((match, ","),), 400), (((match, "\u00a7"),), 422),
                (((match, '"\x01"'),), 400), (((none, f'w/{tag}'),), 400), (((match, f"{tag}{tag}"),), 400),
                # Long ones.
                (((match, ", ".join(['"x"'] * 400)),), 422), (((match, f'"{"x" * 9000}"'),), 422),
                (((match, f'"{"x" * 600}"'), (match, f'"{"y" * 600}"')), 422), (((match, '"x"'),) * 30, 412)):
            for method in ("PUT", "DELETE"):
                with self.subTest(method=method, fields=str(fields)[:100]):
                    got, body = self.change(method, fields)
                    self.assertEqual(status, got, body)
                    self.assertEqual(b"old", self.get("root/f").body)
        self.assertEqual(204, self.change("PUT", ((match, '"x" ,, W/"y"'), (match, f'"{"z" * 600}", {tag}')))[0])
        self.assertEqual(b"new", self.get("root/f").body)

    def test_a_version_tells_what_times_hide(self):
        self.server.run("a", "sh", "-c", "cd /root; echo one >f; touch -d @1000000000 f")
        first = self.get("root/f")
        self.server.run("a", "sh", "-c", "cd /root; echo two >f; touch -d @1000000000 f")
        self.put("root/f", b"mine", headers={**BIN, "If-Match": first.headers["ETag"]}, status=412)
        second = self.get("root/f", {"If-None-Match": first.headers["ETag"]})
        self.assertEqual((b"one\n", b"two\n"), (first.body, second.body))
        self.assertEqual(first.headers["Banger-File-Size"], second.headers["Banger-File-Size"])

    def test_the_root_folder(self):
        self.assertIn("root", [e["name"] for e in self.get("").json()["entries"]])
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo("at-root")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        self.put("", out.getvalue(), "?tar=true", TAR)
        self.assertEqual(b"x", self.get("at-root").body)
        for path in ("", "%2F", "%2F%2F"):
            for query in ("", "?recursive=true"):
                reply = self.server.call("DELETE", f"/vms/a/files/{path}{query}")
                self.assertEqual(422, reply.status, reply)
        self.assertEqual(409, self.server.call("PUT", "/vms/a/files/", b"x", BIN).status)
        self.assertEqual(409, self.server.call("DELETE", "/vms/a/files/proc").status)

    def test_names_of_every_kind(self):
        for name, quoted in (("with space", "with%20space"), ("ümläut", "%C3%BCml%C3%A4ut"), ("a+b%", "a%2Bb%25")):
            self.put(f"tmp/{quoted}", name.encode())
            self.assertEqual(name.encode(), self.get(f"tmp/{quoted}").body)
            self.server.run("a", "test", "-f", f"/tmp/{name}")

    def test_names_that_are_no_text(self):
        names = {b"new\nline": "new%0Aline", b"\x01": "%01", b"latin-\xe4": "latin-%E4", b"cut\xe2\x82": "cut%E2%82"}
        for name, quoted in names.items():
            self.put(f"root/odd/{quoted}", name, "?parents=true")
            self.assertEqual(name, self.get(f"root/odd/{quoted}").body)
        listed = {base64.b64decode(e["name_base64"]) if "name_base64" in e else e["name"].encode()
                  for e in self.get("root/odd").json()["entries"]}
        self.assertEqual(set(names), listed)
        with tarfile.open(fileobj=io.BytesIO(self.get("root/odd?tar=true").body), encoding="utf-8", errors="surrogateescape") as tar:
            self.assertEqual(set(names), {os.fsencode(m.name.removeprefix("./")) for m in tar.getmembers() if m.isfile()})
        for quoted in names.values():
            self.server.must(204, "DELETE", f"/vms/a/files/root/odd/{quoted}")
            self.assertIn("No such file", self.get(f"root/odd/{quoted}", status=404).json()["detail"])
        # Cut in the middle of a character where a message has no more room.
        self.assertIn("\u00e4", self.get("tmp/" + "%C3%A4" * 100 + "/" + "%C3%A4" * 100, status=404).json()["detail"])
        for target in ("/vms/%0A", "/vms/a%FF/files/x", "/vms?state=%FF", "/vms/a/files/x%00", "/nothing/%FF"):
            self.assertIn(self.server.call("GET", target).status, (400, 404), target)

    def test_a_listing_that_is_too_long_says_so(self):
        self.server.run("a", "sh", "-c", "mkdir /root/many && cd /root/many && x=$(head -c 1000 /dev/zero | tr '\\0' '\\001') && "
                        "i=0; while [ $i -lt 1000 ]; do ln -s $x l$i; i=$((i+1)); done")
        listing = self.get("root/many").json()
        self.assertTrue(listing["truncated"])
        self.assertGreater(len(listing["entries"]), 300)

    def test_what_the_kernel_makes_up_comes_whole(self):
        for path in ("proc/version", "sys/kernel/mm/transparent_hugepage/enabled", "proc/cpuinfo"):
            reply = self.get(path, {"Range": "bytes=1-2"})
            self.assertEqual(self.server.run("a", "cat", f"/{path}"), reply.body.decode(), path)
            self.assertEqual((None, None), (reply.headers["Content-Length"], reply.headers["ETag"]))
            self.assertIsNone(self.server.raw("HEAD", f"/vms/a/files/{path}").headers["Banger-File-Size"])

    def test_folders_are_listed_made_and_removed(self):
        self.put("root/new/deep/file", b"x", "?parents=true")
        reply = self.get("root/new")
        self.assertEqual("application/json", reply.headers["Content-Type"])
        entries = reply.json()["entries"]
        self.assertRegex(entries[0]["modified"], r"^\d{4}-\d\d-\d\dT")
        self.assertIn("root", [e["name"] for e in self.get("%2F").json()["entries"]])
        self.assertEqual([("deep", "dir")], [(e["name"], e["type"]) for e in entries])
        self.server.must(204, "DELETE", "/vms/a/files/root/new/deep/file")
        self.get("root/new/deep/file", status=404)
        self.put("root/new/deep/other", b"x")
        self.assertGreaterEqual(self.server.call("DELETE", "/vms/a/files/root/new").status, 400)
        self.server.must(204, "DELETE", "/vms/a/files/root/new?recursive=true")
        self.get("root/new", status=404)

    def test_truth_has_two_spellings(self):
        self.put("root/yes/deep/file", b"x", "?parents=1")
        with tarfile.open(fileobj=io.BytesIO(self.get("root/yes?tar=1").body)) as tar:
            self.assertIn("deep/file", [m.name.removeprefix("./") for m in tar.getmembers()])
        self.put("root/yes/again", self.get("root/yes?tar=1").body, "?tar=1", TAR)
        self.assertEqual(b"x", self.get("root/yes/again/deep/file").body)
        self.assertEqual("application/json", self.get("root/yes?tar=0").headers["Content-Type"])
        self.server.must(204, "DELETE", "/vms/a/files/root/yes?recursive=1")
        self.get("root/yes", status=404)

    def test_trees_travel_as_tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in (("d/one", b"1" * 5000), ("d/" + "long" * 40, b"l"), ("d/ünï", b"u")):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o755
                tar.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("d/link")
            link.type, link.linkname = tarfile.SYMTYPE, "one"
            tar.addfile(link)
        self.put("root/tree", out.getvalue(), "?tar=true", TAR)
        self.assertEqual("one\n", self.server.run("a", "readlink", "/root/tree/d/link"))
        back = self.get("root/tree?tar=true")
        with tarfile.open(fileobj=io.BytesIO(back.body)) as tar:
            names = {m.name.removeprefix("./").rstrip("/"): m for m in tar.getmembers()}
            self.assertEqual(b"1" * 5000, tar.extractfile(names["d/one"]).read())
            self.assertIn("d/" + "long" * 40, names)
            self.assertTrue(names["d/link"].issym())
            self.assertEqual(0o755, names["d/one"].mode)

    def test_a_tar_that_climbs_stays_where_it_is(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo("../../etc/evil")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        reply = self.server.call("PUT", "/vms/a/files/root/box?tar=true", out.getvalue(), TAR)
        self.assertGreaterEqual(reply.status, 400)
        self.assertLess(reply.status, 500, reply)
        self.get("etc/evil", status=404)

    def test_what_can_not_be_done_is_said(self):
        self.get("no/such/file", status=404)
        self.assertIn(self.server.call("PUT", "/vms/a/files/no/such/file", b"x", BIN).status, (404, 409, 422))
        self.assertIn(self.server.call("PUT", "/vms/a/files/root/x?mode=9999", b"x", BIN).status, (422,))
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.get("etc/passwd", status=409)
        self.server.must(404, "GET", "/vms/nobody/files/etc/passwd")

    def test_one_that_does_not_read_holds_up_nobody(self):
        data = os.urandom(4 << 20)
        self.put("root/large", data)
        lazy = [UnixConnection(self.server.socket, 60) for _ in range(4)]
        for connection in lazy:
            connection.request("GET", "/vms/a/files/root/large")
            self.assertEqual(200, connection.getresponse().status)
        self.assertEqual(data, self.get("root/large").body)
        self.put("root/other", data)
        self.assertEqual("through\n", self.server.run("a", "echo", "through"))
        for connection in lazy:
            connection.close()

    def test_a_full_disk_is_said(self):
        for query, headers in (("", BIN), ("?tar=true", TAR)):
            info = tarfile.TarInfo("large")
            info.size = 80 << 20
            connection = UnixConnection(self.server.socket, 120)
            body = (info.tobuf() if query else b"") + os.urandom(1 << 20) * 80 + bytes(1024)
            connection.request("PUT", f"/vms/a/files/root/much{query}", body, headers)
            with contextlib.closing(connection):
                reply = connection.getresponse()
                self.assertEqual(502, reply.status)
                self.assertIn("No space left on device", json.loads(reply.read())["detail"])
        self.server.must(204, "DELETE", "/vms/a/files/root/much?recursive=true")
        self.assertEqual("", self.server.run("a", "sh", "-c", "ls -A /root | grep -v gitconfig || true"))
        self.put("root/little", b"x")

    def slow_disk(self, vm, bytes_per_second):
        """Of the VM's own disk, either way; 0: as fast as it is."""
        with socket.socket(socket.AF_UNIX) as qemu:
            qemu.settimeout(60)
            qemu.connect(f"{self.home}/run/vm/{vm['id']}/qmp.sock")
            with qemu.makefile("rw") as lines:
                lines.readline()  # the greeting

                def ask(command, **arguments):
                    print(json.dumps({"execute": command, "arguments": arguments}), file=lines, flush=True)
                    return next(reply["return"] for reply in map(json.loads, lines) if "event" not in reply)

                ask("qmp_capabilities")
                disk = next(d["qdev"] for d in ask("query-block") if "work.ext4" in d["inserted"]["file"])
                ask("block_set_io_throttle", id=disk, bps=0, bps_rd=bytes_per_second, bps_wr=bytes_per_second,
                    iops=0, iops_rd=0, iops_wr=0)

    def test_a_slow_disk_holds_up_nobody_else(self):
        vm = self.server.create("slow", disk_mib=128)
        data = os.urandom(64 << 20)  # more than the guest keeps in memory
        went = [0]

        def chunks():
            for at in range(0, len(data), 65536):
                yield data[at:at + 65536]
                went[0] = at

        def put():
            connection = UnixConnection(self.server.socket, 300)
            connection.request("PUT", target, chunks(), {**BIN, "Content-Length": str(len(data))})
            with contextlib.closing(connection):
                return connection.getresponse().status

        def still():
            before, _ = went[0], time.sleep(2)
            return went[0] if went[0] == before > 0 else None

        self.slow_disk(vm, 4096)
        target = "/vms/slow/files/root/large"
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            upload = pool.submit(put)
            try:
                wait_until(still, "the disk takes no more")
                self.assertEqual("through\n", self.server.run("slow", "echo", "through"))
                self.assertFalse(upload.done())
            finally:
                self.slow_disk(vm, 0)
            self.assertEqual(204, upload.result())
            self.server.run("slow", "sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches")
            self.slow_disk(vm, 4096)
            download = pool.submit(self.server.raw, "GET", target)
            try:
                wait_until(lambda: "D" in self.server.run("slow", "sh", "-c", "cut -d' ' -f3 /proc/[0-9]*/stat").split(),
                           "a read waits for the disk")
                self.assertFalse(download.done())
            finally:
                self.slow_disk(vm, 0)
            self.assertEqual(data, download.result().body)

    def test_transfers_given_up_on_a_disk_that_does_not_answer(self):
        vm = self.server.create("hung", disk_mib=128)
        target, data = "/vms/hung/files/root/large", os.urandom(1 << 20)
        self.server.must(204, "PUT", target, data, headers=BIN)
        self.server.run("hung", "sh", "-c", "sync; echo 1 >/proc/sys/vm/drop_caches")
        self.slow_disk(vm, 1)
        try:
            for _ in range(WORKS_MAX):
                connection = UnixConnection(self.server.socket, 60)
                connection.request("GET", target)
                self.assertEqual(200, connection.getresponse().status)
                connection.close()
            tree = "/vms/hung/files/root/tree?tar=true"
            for method, path, body, headers in (("GET", target, None, None), ("GET", tree.replace("/tree", ""), None, None),
                                                ("PUT", tree, bytes(1024), TAR)):
                reply = self.server.must(503, method, path, body, headers=headers)
                self.assertIn(f"{WORKS_MAX} transfers of this guest are under way", reply["detail"])
                self.assertIn("restart the VM", reply["detail"])
            self.assertEqual("through\n", self.server.run("hung", "echo", "through"))
        finally:
            self.slow_disk(vm, 0)
        wait_until(lambda: self.server.raw("GET", target).body == data, "the disk answers again, and those that waited for it go")

    def test_files_wake_a_suspended_vm(self):
        self.put("root/kept", b"kept")
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        self.assertEqual(b"kept", self.get("root/kept").body)
        self.assertEqual("running", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        data = os.urandom(3 << 20)
        self.put("root/woken", data)
        self.assertEqual(data, self.get("root/woken").body)


if __name__ == "__main__":
    unittest.main(verbosity=2)
