#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: client.py <banger-server> <banger_client.py>

The client for Python that is made from the document: it stands by itself, has what the document has and nothing else,
its types hold, and it works over TCP with a token. What it does with guests is in tests/integration.
"""
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import typing
import unittest

from server import Server

PROGRAM = MODULE = client = None


def load(path):
    spec = importlib.util.spec_from_file_location("banger_client", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["banger_client"] = module
    spec.loader.exec_module(module)
    return module


class Shape(unittest.TestCase):
    def test_it_needs_nothing_else(self):
        code = "import runpy, sys; runpy.run_path(sys.argv[1])"
        subprocess.run([sys.executable, "-I", "-S", "-W", "error", "-c", code, MODULE], check=True, timeout=60)

    def test_all_types_are_known(self):
        for name, value in vars(client).items():
            if isinstance(value, type) and value.__module__ == "banger_client":
                typing.get_type_hints(value)
        for name, value in vars(client.Client).items():
            if not name.startswith("_"):
                typing.get_type_hints(value)

    @unittest.skipUnless(shutil.which("mypy"), "mypy is not installed")
    def test_mypy(self):
        use = ("from banger_client import Client, Vm\n"
               "def name(c: Client) -> str:\n    return c.vm_get('a')['name']\n"
               "def made(c: Client) -> None:\n    c.vm_create({'name': 'a', 'vcpus': 1}, wait=5)\n")
        wrong = "from banger_client import Client\ndef made(c: Client) -> None:\n    c.vm_create({'vcpus': 'two'})\n"
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(MODULE, f"{folder}/banger_client.py")
            for text, status in ((use, 0), (wrong, 1)):
                with open(f"{folder}/use.py", "w", encoding="ascii") as f:
                    f.write(text)
                done = subprocess.run(["mypy", "--strict", "--no-warn-return-any", "--cache-dir", f"{folder}/cache", "use.py",
                                       "banger_client.py"], cwd=folder, capture_output=True, text=True, timeout=240, check=False)
                self.assertEqual(status, done.returncode, done.stdout + done.stderr)


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(PROGRAM)
        cls.local = client.Client(cls.server.socket_path)
        cls.address = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.local.close()
        assert cls.server.stop() == 0

    def test_a_method_an_operation(self):
        wanted = {op["operationId"] for item in self.server.document["paths"].values()
                  for op in item.values() if isinstance(op, dict) and "operationId" in op
                  if set(op["responses"]) & {"200", "201", "202", "204", "303"}}
        own = {name if name in wanted else name.removesuffix("_stream") for name in vars(client.Client) if name[0] != "_"}
        self.assertEqual(wanted, own)

    def test_over_tcp_with_a_token(self):
        made = self.local.token_create({"name": "client", "scope": "read"})
        with client.Client(self.address, made["token"]) as banger:
            self.assertEqual({"items": []}, banger.vm_list(state="running", label=["a=b", "c"]))
            with self.assertRaises(client.Refused) as refused:
                banger.vm_create({"name": "a"})
            self.assertEqual((403, "forbidden"), (refused.exception.status, refused.exception.code))
            # The connection goes on after a refusal, and is made anew when it was closed in between.
            banger.version()
            banger._kept.sock.shutdown(2)
            self.assertEqual([], banger.vm_list()["items"])
        with client.Client(self.address) as banger, self.assertRaises(client.Refused) as refused:
            banger.vm_list()
        self.assertEqual(401, refused.exception.status)
        self.local.token_delete("client")

    def test_refusals_tell_the_fields(self):
        with self.assertRaises(client.Refused) as refused:
            self.local.vm_create({"name": "No", "vcpus": 0})
        self.assertEqual(["/name", "/vcpus"], sorted(e["pointer"] for e in refused.exception.errors))
        self.assertTrue(refused.exception.remedy or refused.exception.errors[0]["remedy"])

    def test_keys_and_replies(self):
        first = self.local.token_create({"name": "once", "scope": "read"}, idempotency_key="k")
        self.assertEqual(first, self.local.token_create({"name": "once", "scope": "read"}, idempotency_key="k"))
        self.assertIsNone(self.local.token_delete("once"))
        self.assertEqual([], list(self.local.every(self.local.vm_list, limit=1)))
        with self.local.event_stream(follow=False, kind="token.created") as frames:
            self.assertIn("token.created", [frame.get("kind") for frame in frames])
        with self.local.openapi_yaml() as reply:
            self.assertIn(b"openapi: 3.1.0", reply.read())
        with self.local.metrics() as reply:
            self.assertTrue(b"".join(reply).endswith(b"\n"))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    PROGRAM, MODULE = sys.argv.pop(1), os.path.abspath(sys.argv.pop(1))
    client = load(MODULE)
    unittest.main(verbosity=2)
