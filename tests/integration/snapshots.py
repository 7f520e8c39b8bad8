# SPDX-License-Identifier: Apache-2.0
"""Snapshots as streams, their history, what is damaged, and templates that are made ahead."""
import io
import json
import os
import socket
import tarfile
import unittest

from harness import SHAPE, LifeTest, Server, clone, end_vmms, wait_until, BASE

TAR = {"Content-Type": "application/x-tar"}


def flip(path, at):
    """One bit of a file that is read-only."""
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


def some_data(path):
    """A place of a sparse file that holds something."""
    with open(path, "rb") as f:
        at = os.lseek(f.fileno(), 0, os.SEEK_DATA)
        f.seek(at)
        chunk = f.read(1 << 20)
        return at + next(i for i, byte in enumerate(chunk) if byte)


def repack(data, change):
    """The archive with `change(name, content)` applied to each small file; None leaves it out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for entry in old.getmembers():
            content = change(entry.name, old.extractfile(entry).read())
            if content is not None:
                plain = tarfile.TarInfo(entry.name)
                plain.size = len(content)
                new.addfile(plain, io.BytesIO(content))
    return out.getvalue()


class Snapshots(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def take(self, vm, name):
        return self.server.must(201, "POST", f"/vms/{vm}/snapshots", {"name": name}, wait=120)["id"]

    def export(self, snapshot):
        return self.server.must(200, "GET", f"/snapshots/{snapshot}/archive").body

    def test_a_running_vm_moves_to_another_server(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo moved >/tmp/ram; echo kept >/root/disk; sleep 1000 >/dev/null 2>&1 &")
        pid = self.server.run("a", "pidof", "sleep")
        archive = self.export(self.take("a", "s"))
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.assertEqual("manifest.json", tar.getnames()[0])
            self.assertLessEqual(set(tar.getnames()), {"manifest.json", "state", "memory", "work.ext4"})
        other = Server(f"{self.home}/other")
        os.mkdir(other.home)
        clone(f"{BASE}/home", other.home)
        other.start()
        try:
            for keep in ("s", None):  # as it came, and as any tar would have packed it
                data = archive if keep else repack(archive, lambda name, content: content)
                moved = other.must(201, "POST", "/snapshots", data, headers=TAR)
                self.assertEqual("s", moved["name"])
                other.must(201, "POST", "/vms", {"name": "b", "from_snapshot": moved["id"]}, wait=120)
                self.assertEqual("moved\nkept\n", other.run("b", "cat", "/tmp/ram", "/root/disk"))
                self.assertEqual(pid, other.run("b", "pidof", "sleep"))
                other.delete("b")
            self.refusals(other, archive)
            other.stop()
        finally:
            if other.alive():
                other.kill()
            end_vmms(other)
        self.server.delete("a")
        self.assert_nothing_left()

    def refusals(self, other, archive):
        before = sorted(os.listdir(f"{other.home}/state/snapshots"))

        def refuse(status, data, words):
            reply = other.must(status, "POST", "/snapshots", data, headers=TAR)
            self.assertIn(words, reply["detail"])
            self.assertEqual(before, sorted(os.listdir(f"{other.home}/state/snapshots")))

        def manifest(**values):
            return repack(archive, lambda name, content: json.dumps({**json.loads(content), **values}).encode()
                          if name == "manifest.json" else content)

        refuse(422, b"", "manifest.json")
        refuse(422, b"x" * 5000, "archive")
        for cut in (300, 5000, len(archive) // 2, len(archive) - 4096):
            reply = other.call("POST", "/snapshots", archive[:cut], TAR)
            self.assertIn(reply.status, (409, 422), (cut, reply))
        refuse(409, repack(archive, lambda name, content: bytes([content[0] ^ 1]) + content[1:] if name == "state"
                           else content), "state) is damaged")
        refuse(422, repack(archive, lambda name, content: None if name == "work.ext4" else content), "disk")
        refuse(422, manifest(image_id="sha256-../../../../etc"), "value")
        refuse(422, manifest(vcpus=0), "value")
        refuse(422, manifest(state_sha256="", memory_sha256=""), "checksums")
        # It fits nothing here: taken in, and refused with the list when it is used.
        strange = other.must(201, "POST", "/snapshots", manifest(vmm_version="1.0", accel="kvm"), headers=TAR)
        self.assertEqual(2, len(strange["mismatches"]), strange)
        reply = other.must(409, "POST", "/vms", {"from_snapshot": strange["id"]})
        self.assertIn("its version was 1.0", reply["detail"])
        self.assertIn("acceleration was kvm", reply["detail"])
        other.must(201, "POST", "/vms", {"name": "c", "from_snapshot": strange["id"], "restore_memory": False}, wait=240)
        self.assertEqual("kept\n", other.run("c", "cat", "/root/disk"))
        other.delete("c")
        gone = other.must(201, "POST", "/snapshots", manifest(image_id="sha256-" + "0" * 64), headers=TAR)
        reply = other.must(409, "POST", "/vms", {"from_snapshot": gone["id"]})
        self.assertIn("image 'mini' of the snapshot is gone", reply["detail"])
        for one in (strange, gone):
            other.must(204, "DELETE", f"/snapshots/{one['id']}")

    def test_a_client_that_leaves_leaves_nothing(self):
        self.server.create("a")
        snapshot = self.take("a", "s")
        archive = self.export(snapshot)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.server.socket)
            s.sendall(f"POST /snapshots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-tar\r\n"
                      f"Content-Length: {len(archive)}\r\n\r\n".encode() + archive[:len(archive) // 2])
            wait_until(lambda: len(os.listdir(f"{self.home}/state/snapshots")) == 2, "it is being unpacked", 30)
        wait_until(lambda: os.listdir(f"{self.home}/state/snapshots") == [snapshot], "the half is gone", 30)
        # While one takes it out, another deletes it.
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.server.socket)
            s.sendall(f"GET /snapshots/{snapshot}/archive HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            self.assertTrue(s.recv(1000))
            self.server.must(204, "DELETE", f"/snapshots/{snapshot}")
            total = 0
            while chunk := s.recv(1 << 20):
                total += len(chunk)
            self.assertGreater(total, len(archive) // 2)
        wait_until(lambda: not os.listdir(f"{self.home}/state/snapshots"), "the snapshot is gone", 30)
        self.server.delete("a")
        self.assert_nothing_left()

    def test_history_is_a_tree(self):
        server = self.server
        server.create("a")
        one, two = self.take("a", "one"), self.take("a", "two")
        server.must(200, "POST", "/vms/a/restore", {"snapshot": one}, wait=120)
        three = self.take("a", "three")
        server.must(201, "POST", "/vms", {"name": "b", "from_snapshot": two}, wait=120)
        four = self.take("b", "four")
        child = server.must(200, "POST", "/vms/b/fork", {}, wait=120)["children"][0]
        server.wait_operation(child["operation"])
        five = self.take(child["name"], "five")
        vm_b = server.must(200, "GET", "/vms/b")
        self.assertEqual(vm_b["id"], server.must(200, "GET", f"/vms/{child['name']}")["booted_from"], "a fork's parent")

        def parents():
            return {s["name"]: s.get("parent") for s in server.must(200, "GET", "/snapshots")["items"]}

        tree = {"one": None, "two": one, "three": one, "four": two, "five": four}
        self.assertEqual(tree, parents())
        server.must(204, "DELETE", f"/snapshots/{two}")
        server.stop()
        server.start()
        del tree["two"]
        self.assertEqual({**tree, "four": one}, parents())
        self.assertEqual(three, server.must(200, "GET", "/vms/a")["snapshot"])
        for name in ("a", "b", child["name"]):
            server.delete(name)

    def test_damage_is_found_before_it_does_harm(self):
        server = self.server
        server.create("a")
        server.run("a", "sh", "-c", "echo precious >/root/f; sync")
        for name in ("state", "memory", "work.ext4"):
            # Of a booted VM, so that the memory is a file of its own.
            snapshot = self.take_of_booted(name)
            path = f"{self.home}/state/snapshots/{snapshot}/{name}"
            flip(path, some_data(path))
            reply = server.must(409, "POST", "/vms/cold/restore", {"snapshot": snapshot}, wait=120)
            self.assertIn("is damaged", reply["detail"])
            self.assertEqual("running", server.state("cold"), "it goes on as it was")
            server.must(409, "POST", "/vms", {"from_snapshot": snapshot}, wait=120)
            server.must(204, "DELETE", f"/snapshots/{snapshot}")
        os_id = server.must(200, "GET", "/vms/a")["id"]
        server.must(200, "POST", "/vms/a/suspend", wait=120)
        state = f"{self.home}/state/vms/{os_id}/suspend/state"
        os.chmod(state, 0o600)
        os.truncate(state, os.path.getsize(state) - 1)
        reply = server.must(409, "POST", "/vms/a/resume", wait=120)
        self.assertIn("kill it to boot from its disk", reply["detail"])
        self.assertEqual("suspended", server.state("a"))
        server.must(200, "POST", "/vms/a/kill", wait=60)
        server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("precious\n", server.run("a", "cat", "/root/f"))
        # A damaged template goes, and the VM boots.
        for name in os.listdir(f"{self.home}/state/templates"):
            path = f"{self.home}/state/templates/{name}/memory"
            self.unshare(path)
            flip(path, some_data(path))
        server.stop()
        server.start()
        self.assertEqual("cold", server.create("b")["booted_from"])
        self.assertIn("a damaged template is removed", server.log())
        for name in ("a", "b", "cold"):
            server.delete(name)
        self.assert_nothing_left()

    def take_of_booted(self, name):
        if name == "state":
            self.server.create("cold", boot="cold")
        return self.take("cold", f"x{name.replace('.', '')}")

    @staticmethod
    def unshare(path):
        """The prepared home shares its files with this one."""
        with open(path, "rb") as f:
            data = f.read()
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(data)

    def test_templates_made_ahead_and_pinned(self):
        server = self.server
        shape = {**SHAPE, "memory_mib": 96, "image": "mini"}
        made = server.must(201, "POST", "/templates", {**shape, "pinned": True}, wait=240)
        self.assertTrue(made["pinned"])
        self.assertEqual(made["id"], server.must(200, "POST", "/templates", shape, wait=240)["id"])
        self.assertEqual(made["id"], server.must(201, "POST", "/vms", {"name": "a", **shape, "boot": "template"},
                                                 wait=60)["booted_from"])
        server.must(404, "POST", "/templates", {"image": "nothing"})
        server.must(422, "POST", "/templates", {"image": "mini", "memory_mib": 1048576})
        # Two that ask for the same get the same.
        again = [server.must(202, "POST", "/templates", {**shape, "memory_mib": 104})["id"] for _ in range(2)]
        self.assertEqual(1, len(set(again)))
        self.assertEqual("succeeded", server.wait_operation(again[0])["state"])
        server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
