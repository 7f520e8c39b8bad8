# SPDX-License-Identifier: Apache-2.0
"""The client for Python that is made from the document, with a real guest."""
import importlib.util
import io
import os
import sys
import tarfile
import threading
import unittest

from harness import SHAPE, LifeTest

spec = importlib.util.spec_from_file_location("banger_client", os.environ["BANGER_PYTHON_CLIENT"])
banger_client = importlib.util.module_from_spec(spec)
sys.modules["banger_client"] = banger_client
spec.loader.exec_module(banger_client)


class PythonClient(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.banger = banger_client.Client(self.server.socket)
        self.addCleanup(self.banger.close)

    def test_a_vm_from_first_to_last(self):
        banger = self.banger
        vm = banger.vm_create({"name": "a", "image": "mini", "labels": {"team": "x"}, **SHAPE}, wait=240)
        self.assertEqual("running", vm["state"])
        self.assertEqual(["a"], [v["name"] for v in banger.every(banger.vm_list, limit=1, label=["team=x"])])
        self.assertEqual("hi\n", banger.vm_exec("a", {"argv": ["echo", "hi"]})["stdout"])
        with banger.vm_exec_stream("a", {"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"]}) as frames:
            seen = list(frames)
        self.assertEqual({"stdout", "stderr", "exit"}, {f["type"] for f in seen} - {"started"})
        self.assertEqual(3, seen[-1]["exit_code"])
        banger.file_put("a", "/root/ä b/data", b"\0\1\2", parents=True, mode="0600")
        with banger.file_get("a", "/root/ä b/data") as reply:
            self.assertEqual((b"\0\1\2", "0600"), (reply.read(), reply.headers["Banger-File-Mode"]))
        with banger.file_get("a", "/root", tar=True) as reply, tarfile.open(fileobj=io.BytesIO(reply.read())) as tar:
            self.assertIn("ä b/data", [m.name.removeprefix("./") for m in tar.getmembers()])
        record = banger.exec_create("a", {"argv": ["cat"], "stdin_open": True})
        banger.exec_input("a", record["id"], b"through\n")
        self.assertEqual("exited", banger.exec_get("a", record["id"], wait=60)["state"])
        with banger.exec_output("a", record["id"], from_=0) as frames:
            self.assertIn("exit", [f["type"] for f in frames])
        self.assertIsNone(banger.vm_delete("a", wait=120))
        with self.assertRaises(banger_client.Refused) as refused:
            banger.vm_get("a")
        self.assertEqual("not_found", refused.exception.code)
        self.assert_nothing_left()

    def test_a_run_and_its_artifacts(self):
        with self.banger.run_create_stream({"image": "mini", **SHAPE, "script": "mkdir /out; echo made > /out/it; exit 4",
                                            "artifacts": ["/out"]}) as frames:
            seen = list(frames)
        self.assertEqual(("run", "exit", 4), (seen[0]["type"], seen[-1]["type"], seen[-1]["exit_code"]))
        with self.banger.run_artifacts(seen[0]["id"]) as reply, tarfile.open(fileobj=io.BytesIO(reply.read())) as tar:
            self.assertIn("it", [os.path.basename(m.name) for m in tar.getmembers()])

    def test_watching_while_another_creates(self):
        with banger_client.Client(self.server.socket) as other, other.vm_list_stream(watch=True) as frames:
            maker = threading.Thread(target=lambda: self.banger.vm_create({"name": "b", "image": "mini", "start": False}, wait=60))
            maker.start()
            for frame in frames:
                if frame["type"] == "added":
                    break
            maker.join()
        self.assertEqual("b", frame["item"]["name"])
        self.banger.vm_delete("b", wait=60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
