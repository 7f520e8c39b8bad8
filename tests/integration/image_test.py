# SPDX-License-Identifier: Apache-2.0
"""What tests of images share: a server beside a registry, and the least image that boots."""
import os
import tempfile

from harness import LifeTest
from registry import Registry, folder, layer, member, symlink

with open("/bin/busybox", "rb") as file:
    BUSYBOX = file.read()

APPLETS = ("sh", "cat", "ls", "stat", "id", "echo", "find", "readlink", "test", "env", "pwd", "sleep", "sha256sum")


def busybox(*more):
    """The least that a guest can do something with."""
    return layer(folder("bin"), member("bin/busybox", BUSYBOX, mode=0o755),
                 *[symlink(f"bin/{name}", "busybox") for name in APPLETS],
                 folder("etc"), member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
                 member("etc/group", b"root:x:0:\nann:x:1000:\n"), *more)


class ImageTest(LifeTest):
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

    def make(self, status=201, **body):
        reply = self.server.call("POST", "/images", body, {"Prefer": "wait=120"})
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
