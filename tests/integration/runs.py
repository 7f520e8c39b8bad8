# SPDX-License-Identifier: Apache-2.0
"""CI jobs by one call: outcome, streams, files in and out, queue, cancellation, and nothing left behind."""
import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import unittest

from harness import SERVER, SHAPE, LifeTest, UnixConnection, wait_until

BANGER = os.path.join(os.path.dirname(SERVER), "..", "cli", "banger")
SMALL = ["--image", "mini", "--vcpus", "1", "--memory", "128", "--disk", "64", "--network", "none"]

NDJSON = {"Accept": "application/x-ndjson"}
TEXT = {"Accept": "text/plain"}


def job(**fields):
    return {"image": "mini", **SHAPE, **fields}


def lines_of(reply):
    assert reply.status == 200, reply
    return [json.loads(line) for line in reply.body.splitlines()]


class Runs(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def run_job(self, **fields):
        return self.server.must(201, "POST", "/runs", job(**fields), wait=240)

    def no_vms(self):
        return self.server.must(200, "GET", "/vms")["items"] == []

    def test_outcome_and_nothing_left(self):
        run = self.run_job(script='echo "hello $WHO"; echo oops >&2; exit 3', env={"WHO": "you"})
        self.assertEqual(("failed", 3), (run["state"], run["exit_code"]))
        self.assertEqual(["queued", "creating", "running", "deleting"], [s["name"] for s in run["stages"]])
        self.assertNotIn("error", run)
        self.assertTrue(self.no_vms())
        text = self.server.must(200, "GET", f"/runs/{run['id']}/output", headers=TEXT)
        self.assertEqual(["hello you", "oops"], sorted(text.body.decode().split("\n"))[1:])
        log = lines_of(self.server.call("GET", f"/runs/{run['id']}/output", headers=NDJSON))
        self.assertEqual({"type": "run", "id": run["id"]}, log[0])
        self.assertEqual(("exit", 3), (log[-1]["type"], log[-1]["exit_code"]))
        self.assertEqual([run["id"]], [r["id"] for r in self.server.must(200, "GET", "/runs?state=failed")["items"]])
        self.assertEqual("succeeded", self.run_job(argv=["true"])["state"])
        # Environment may be secret: it is not shown and not stored.
        with open(f"{self.server.home}/state/state.db", "rb") as f:
            self.assertNotIn(b'"WHO"', f.read())

    def test_files_and_artifacts(self):
        run = self.run_job(argv=["sh", "-c", "./tool > out/result && chmod 600 out/result"], cwd="/work",
                           files=[{"path": "/work/tool", "content": "#!/bin/sh\ncat data\n", "mode": "0755"},
                                  {"path": "/work/data", "base64": "AAEC/w=="},
                                  {"path": "/work/out/old", "content": ""}],
                           artifacts=["/work/out", "/nothing/here"])
        self.assertEqual("succeeded", run["state"], run)
        self.assertIn("problem", run["artifacts"][1])
        reply = self.server.call("GET", f"/runs/{run['id']}/artifacts?path=/work/out")
        with tarfile.open(fileobj=io.BytesIO(reply.body)) as tar:
            names = {m.name.removeprefix("./"): m for m in tar.getmembers()}
            self.assertEqual(b"\0\1\2\xff", tar.extractfile(names["result"]).read())
            self.assertEqual(0o600, names["result"].mode)
        self.server.must(404, "GET", f"/runs/{run['id']}/artifacts?path=/nothing/here")
        self.server.must(422, "GET", f"/runs/{run['id']}/artifacts")
        self.server.must(422, "POST", "/runs", job())
        self.server.must(422, "POST", "/runs", job(argv=["true"], script="true"))

    def test_reports_and_a_workspace_in_one_request(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            text = b"<testsuite><testcase/><testcase><failure/></testcase><testcase><skipped/></testcase></testsuite>"
            info = tarfile.TarInfo("reports/unit.xml")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        run = self.run_job(script="test -f reports/unit.xml", workspace={"path": "/ws", "base64": base64.b64encode(
            data.getvalue()).decode()}, artifacts=["/ws/reports", "/etc/passwd"])
        self.assertEqual("succeeded", run["state"], run)
        self.assertEqual([{"path": "unit.xml", "tests": 3, "failures": 1, "errors": 0, "skipped": 1}],
                         [{**r, "path": os.path.basename(r["path"])} for r in run["junit"]])
        self.server.must(409, "PUT", f"/runs/{run['id']}/workspace", b"", headers={"Content-Type": "application/x-tar"})
        wrong = self.server.must(422, "POST", "/runs", job(script="true", workspace={"path": "/ws", "base64": "!!!!"}))
        self.assertEqual("/workspace/base64", wrong["errors"][0]["pointer"])

    def test_a_repetition_after_a_crash(self):
        body = job(script="sleep 1; echo once", labels={"queue": "crash"})
        key = {"Idempotency-Key": "job-1", "Prefer": "wait=60"}
        waiting = threading.Thread(target=lambda: self.ignore(lambda: self.server.raw("POST", "/runs", body, key)))
        waiting.start()
        wait_until(lambda: self.server.must(200, "GET", "/runs")["items"], "the run is there", 60)
        self.server.kill()
        waiting.join()
        self.server.start()
        reply = self.server.call("POST", "/runs", body, key)
        self.assertEqual((201, "true"), (reply.status, reply.headers["Idempotent-Replayed"]))
        self.assertEqual(1, len(self.server.must(200, "GET", "/runs")["items"]))
        again = self.server.call("POST", "/runs", body, key)
        self.assertEqual((reply.body, ["true"]), (again.body, again.headers.get_all("Idempotent-Replayed")))
        wait_until(self.no_vms, "its VM is gone", 60)

    def ignore(self, call):
        with contextlib.suppress(OSError, http.client.HTTPException):
            call()

    def test_a_watched_list(self):
        seen, connection = [], UnixConnection(self.server.socket, 60)
        connection.request("GET", "/vms?watch=true&label=kind=seen&fields=id,name,state")
        reply = connection.getresponse()

        def read():
            for line in reply:
                if line.strip():
                    seen.append(json.loads(line))

        reader = threading.Thread(target=read)
        reader.start()
        self.server.create("other", start=False)
        vm = self.server.create("shown", start=False, labels={"kind": "seen"})
        self.server.must(200, "PATCH", "/vms/shown", {"labels": {"kind": "hidden"}})
        self.server.must(200, "PATCH", "/vms/shown", {"labels": {"kind": "seen"}})
        self.server.delete("shown")
        self.server.delete("other")
        wait_until(lambda: [f for f in seen if f["type"] == "removed"][1:], "both removals are told", 30)
        self.server.stop()
        reader.join(30)
        connection.close()
        self.assertEqual("synced", seen[0]["type"])
        self.assertEqual("end", seen[-1]["type"])
        self.assertEqual({"type": "added", "item": {"id": vm["id"], "name": "shown", "state": "created"}}, seen[1])
        self.assertEqual([{"type": "removed", "id": vm["id"]}] * 2, [f for f in seen if f["type"] == "removed"])
        self.assertFalse([f for f in seen if f.get("item", {}).get("name") == "other"])

    def test_workspace_sent_before_the_vm_is_there(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            info = tarfile.TarInfo("src/answer")
            info.size = 300000
            tar.addfile(info, io.BytesIO(b"4" * 300000))
        run = self.server.must(202, "POST", "/runs", job(script="wc -c < src/answer; pwd",
                                                         workspace={"path": "/ws"}))
        self.server.must(204, "PUT", f"/runs/{run['id']}/workspace", data.getvalue(),
                         headers={"Content-Type": "application/x-tar"})
        text = self.server.must(200, "GET", f"/runs/{run['id']}/output", headers=TEXT)
        self.assertEqual("300000\n/ws\n", text.body.decode())
        self.server.must(409, "PUT", f"/runs/{run['id']}/workspace", data.getvalue(),
                         headers={"Content-Type": "application/x-tar"})

    def test_cancel_in_every_phase(self):
        waiting = self.server.must(202, "POST", "/runs", job(argv=["true"], workspace={"path": "/ws"}))
        self.server.must(202, "DELETE", f"/runs/{waiting['id']}")
        done = self.server.must(200, "GET", f"/runs/{waiting['id']}", wait=120)
        self.assertEqual(("cancelled", "cancelled"), (done["state"], done["error"]["code"]))
        running = self.server.must(202, "POST", "/runs", job(argv=["sleep", "1000"], artifacts=["/etc"]))
        wait_until(lambda: self.server.must(200, "GET", f"/runs/{running['id']}")["phase"] == "running",
                   "the command runs", 120)
        self.server.must(202, "DELETE", f"/runs/{running['id']}")
        done = self.server.must(200, "GET", f"/runs/{running['id']}", wait=120)
        self.assertEqual("cancelled", done["state"])
        self.assertIn("before its artefacts", self.server.must(404, "GET", f"/runs/{running['id']}/artifacts")["detail"])
        self.assertTrue(self.no_vms())

    def test_a_client_that_leaves(self):
        for choice, state in (("cancel", "cancelled"), ("continue", "succeeded")):
            body = json.dumps(job(script="echo there; sleep 2", on_disconnect=choice))
            with self.client() as s:
                s.sendall(b"POST /runs HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body.encode())
                seen = b""
                while b"there" not in seen:
                    seen += s.recv(4096)
            run = self.server.must(200, "GET", "/runs?limit=1")["items"][0]
            done = self.server.must(200, "GET", f"/runs/{run['id']}", wait=120)
            self.assertEqual(state, done["state"], done)
        self.assertTrue(self.no_vms())

    def client(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(240)
        s.connect(self.server.socket)
        return s

    def test_kept_after_a_failure_and_timed_out(self):
        run = self.run_job(argv=["sleep", "1000"], timeout_s=1, keep="on_failure")
        self.assertEqual(("failed", True, True), (run["state"], run["timed_out"], run["kept"]))
        self.assertEqual("running", self.server.state(run["vm"]))
        self.assertEqual("ok\n", self.server.run(run["vm"], "echo", "ok"))
        self.server.delete(run["vm"])
        run = self.run_job(argv=["true"], keep="on_failure")
        self.assertFalse(run["kept"])
        self.assertTrue(self.no_vms())

    def test_what_can_not_begin(self):
        run = self.run_job(argv=["/no/such/program"])
        self.assertEqual(("failed", "invalid", "/argv/0"),
                         (run["state"], run["error"]["code"], run["error"]["errors"][0]["pointer"]))
        text = self.server.must(200, "GET", f"/runs/{run['id']}/output", headers=TEXT)
        self.assertEqual(f"banger: {run['error']['detail']}\n", text.body.decode())
        # What can be seen beforehand is refused at once.
        for field, value, status in (("image", "absent", 404), ("kernel", "absent", 404), ("memory_mib", 1048576, 422)):
            wrong = self.server.must(status, "POST", "/runs", {**job(argv=["true"]), field: value})
            self.assertEqual(f"/{field}", wrong["errors"][0]["pointer"])
        self.assertEqual(1, len(self.server.must(200, "GET", "/runs")["items"]))
        self.assertTrue(self.no_vms())

    def test_same_key_same_run(self):
        key = {"Idempotency-Key": "job-1", **NDJSON}
        first = lines_of(self.server.call("POST", "/runs", job(script="echo once"), headers=key))
        again = lines_of(self.server.call("POST", "/runs", job(script="echo once"), headers=key))
        self.assertEqual(first[0], again[0])
        self.assertEqual(1, len(self.server.must(200, "GET", "/runs")["items"]))

    def test_the_server_dies_meanwhile(self):
        run = self.server.must(202, "POST", "/runs", job(argv=["sleep", "1000"]))
        wait_until(lambda: self.server.must(200, "GET", f"/runs/{run['id']}")["phase"] == "running",
                   "the command runs", 120)
        self.server.kill()
        self.server.start()
        done = self.server.must(200, "GET", f"/runs/{run['id']}")
        self.assertEqual(("failed", "unavailable"), (done["state"], done["error"]["code"]))
        wait_until(self.no_vms, "its VM is gone", 120)
        self.server.call("GET", f"/runs/{run['id']}/output", headers=NDJSON)


class Cli(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def banger(self, *args, **kwargs):
        return subprocess.run([BANGER, "--server", self.server.socket, *args], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=300, check=False, **kwargs)

    def begin(self, *args):
        return [BANGER, "--server", self.server.socket, "run", *SMALL, *args]

    def test_status_streams_workspace_artifacts(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/input", "w", encoding="ascii") as f:
                f.write("from here")
            done = self.banger("run", *SMALL, "--workspace", folder, "-e", "A=b", "--artifact",
                               f"/workspace/out={folder}/out.tar", "--", "sh", "-c",
                               "mkdir out; cat input > out/copy; echo $A; echo err >&2; exit 7")
            self.assertEqual((7, b"b\n", b"err\n"), (done.returncode, done.stdout, done.stderr))
            with tarfile.open(f"{folder}/out.tar") as tar:
                copy = next(m for m in tar.getmembers() if m.name.endswith("copy"))
                self.assertEqual(b"from here", tar.extractfile(copy).read())
        listed = json.loads(self.banger("run", "list", "--json").stdout)
        self.assertEqual([7], [r["exit_code"] for r in listed])
        again = self.banger("run", "output", listed[0]["id"])
        self.assertEqual((7, b"b\n", b"err\n"), (again.returncode, again.stdout, again.stderr))
        self.assertEqual(125, self.banger("run", "--image", "absent", "--", "true").returncode)
        self.assertEqual(2, self.banger("run").returncode)

    def test_interrupted(self):
        with subprocess.Popen(self.begin("--", "sleep", "1000"), stdin=subprocess.DEVNULL) as process:
            wait_until(lambda: [r for r in self.server.must(200, "GET", "/runs")["items"] if r["phase"] == "running"],
                       "the command runs", 120)
            process.send_signal(signal.SIGINT)
            self.assertEqual(130, process.wait(120))
        self.assertEqual(["cancelled"], [r["state"] for r in self.server.must(200, "GET", "/runs")["items"]])
        self.assertEqual([], self.server.must(200, "GET", "/vms")["items"])


class Queue(LifeTest):
    def test_turns(self):
        os.makedirs(f"{self.server.home}/config", exist_ok=True)
        with open(f"{self.server.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write("[runs]\nparallel = 1\nkept = 3\n")
        self.server.start()
        gate = self.server.must(202, "POST", "/runs", job(argv=["true"], workspace={"path": "/ws"},
                                                          labels={"queue": "a"}))
        wait_until(lambda: self.server.must(200, "GET", f"/runs/{gate['id']}")["state"] == "running",
                   "the first one has its turn", 60)
        queued = [self.server.must(202, "POST", "/runs", job(argv=["true"], labels={"queue": q}))
                  for q in ("a", "a", "b")]
        # The queue `b` has nothing under way: its run is the next, though it came last.
        self.assertEqual([1, 2, 1], [r["position"] for r in queued])
        self.assertEqual([2, 3, 1], [self.server.must(200, "GET", f"/runs/{r['id']}")["position"] for r in queued])
        self.assertEqual([1, 3, 2], [r["position"] for r in self.server.must(200, "GET", "/runs?state=queued")["items"]])
        self.server.must(202, "DELETE", f"/runs/{gate['id']}")
        done = [self.server.must(200, "GET", f"/runs/{r['id']}", wait=240) for r in queued]
        self.assertEqual(["succeeded"] * 3, [r["state"] for r in done])
        begun = {r["started"]: q for r, q in zip(done, ("a", "a", "b"))}
        self.assertEqual("b", begun[min(begun)])
        # Four have ended; three are remembered.
        self.assertEqual(3, len(self.server.must(200, "GET", "/runs")["items"]))
        self.server.must(404, "GET", f"/runs/{gate['id']}")
        self.assertEqual(3, len(os.listdir(f"{self.server.home}/state/runs")))

    def test_followers_of_one_run(self):
        self.server.start()
        run = self.server.must(202, "POST", "/runs", job(script="yes 0123456789abcdef | head -c 3000000"))
        bodies = []

        def follow():
            bodies.append(self.server.must(200, "GET", f"/runs/{run['id']}/output", headers=TEXT).body)
        threads = [threading.Thread(target=follow) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([3000000] * 8, [len(b) for b in bodies])
        whole = self.server.call("GET", f"/runs/{run['id']}/output", headers=NDJSON).body
        rest = self.server.raw("GET", f"/runs/{run['id']}/output?offset=1000000", headers=NDJSON).body
        self.assertEqual(whole[1000000:], rest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
