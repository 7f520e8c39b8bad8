# SPDX-License-Identifier: Apache-2.0
"""Commands that outlive their clients and the server: output without a gap, input, signals, ends of every kind."""
import hashlib
import json
import os
import unittest

from harness import LifeTest, UnixConnection, wait_until

BIN = {"Content-Type": "application/octet-stream"}
NDJSON = {"Accept": "application/x-ndjson"}
PLAIN = {"Accept": "text/plain"}
# How long the build takes that a server is killed under; BANGER_BUILD_S=60 for a long one.
BUILD_S = int(os.environ.get("BANGER_BUILD_S", "20"))
BUILD = ("end=$(($(date +%s) + {s})); i=0; while [ $(date +%s) -lt $end ]; do echo step $i; echo note $i >&2; i=$((i+1)); sleep 0.05; "
         "done; echo all $i; exit 7")
COUNT = "i=0; while [ $i -lt {n} ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 7"


class Execs(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")

    def start(self, *argv, **fields):
        return self.server.must(201, "POST", "/vms/a/execs", {"argv": list(argv), **fields})

    def get(self, exec_id, wait=None):
        return self.server.must(200, "GET", f"/vms/a/execs/{exec_id}", wait=wait)

    def ended(self, exec_id):
        record = self.get(exec_id, wait=120)
        self.assertIn("ended", record)
        return record

    def output(self, exec_id, query="", headers=None):
        reply = self.server.call("GET", f"/vms/a/execs/{exec_id}/output{query}", headers=headers or PLAIN)
        self.assertEqual(200, reply.status, reply)
        return reply

    def test_a_command_goes_on_without_its_client(self):
        record = self.start("sh", "-c", "echo out; echo err >&2; sleep 0.2; echo done; exit 3")
        self.assertIn(record["state"], ("running", "exited"))
        self.assertGreater(record["pid"], 0)
        done = self.ended(record["id"])
        self.assertEqual(("exited", 3, None), (done["state"], done["exit_code"], done["signal"]))
        self.assertEqual(13, done["output_bytes"])
        frames = [json.loads(line) for line in self.output(record["id"], "", NDJSON).body.splitlines()]
        self.assertEqual({"out\n", "err\n", "done\n"}, {f["data"] for f in frames[:-1]})
        self.assertEqual(("exit", 3), (frames[-1]["type"], frames[-1]["exit_code"]))
        self.assertEqual(b"done\n", self.output(record["id"], "?from=8").body)
        self.assertEqual([record["id"]], [e["id"] for e in self.server.must(200, "GET", "/vms/a/execs")["items"]])
        self.server.must(204, "DELETE", f"/vms/a/execs/{record['id']}")
        self.server.must(404, "GET", f"/vms/a/execs/{record['id']}")

    def test_a_restart_of_the_server_leaves_no_gap(self):
        record = self.start("sh", "-c", COUNT.format(n=300))
        wait_until(lambda: self.get(record["id"])["output_bytes"] > 200, "it writes")
        self.server.kill()
        self.server.start()
        follow = self.output(record["id"], "?follow=true", NDJSON)
        frames = [json.loads(line) for line in follow.body.splitlines()]
        text = "".join(f.get("data", "") for f in frames)
        self.assertEqual("".join(f"line {i}\n" for i in range(300)), text)
        self.assertEqual(("exit", 7), (frames[-1]["type"], frames[-1]["exit_code"]))
        at = 0
        for frame in frames[:-1]:
            self.assertEqual(at, frame["offset"])
            at += len(frame["data"])
        # And what has ended is still known after the next one.
        self.server.kill()
        self.server.start()
        self.assertEqual(7, self.get(record["id"])["exit_code"])
        self.assertEqual(text.encode(), self.output(record["id"]).body)

    def test_a_build_goes_on_while_the_server_is_killed(self):
        build = self.start("sh", "-c", BUILD.format(s=BUILD_S))
        beside = self.start("sh", "-c", BUILD.format(s=BUILD_S), tty=True)
        quiet = self.start("sh", "-c", f"sleep {BUILD_S}; exit 8")
        for _ in range(3):
            so_far = self.get(build["id"])["output_bytes"]
            wait_until(lambda: self.get(build["id"])["output_bytes"] > so_far + 200, "it goes on")  # pylint: disable=cell-var-from-loop
            self.server.kill()
            self.server.start()
        self.assertEqual("running", self.get(build["id"])["state"])
        follow = self.output(build["id"], "?follow=true", NDJSON)
        frames = [json.loads(line) for line in follow.body.splitlines()]
        self.assertEqual(("exit", 7), (frames[-1]["type"], frames[-1]["exit_code"]))
        at, text = 0, {"stdout": "", "stderr": ""}
        for frame in frames[:-1]:
            self.assertEqual(at, frame["offset"])
            at += len(frame["data"])
            text[frame["type"]] += frame["data"]
        n = int(text["stdout"].split()[-1])
        self.assertGreater(n, 0)
        self.assertEqual("".join(f"step {i}\n" for i in range(n)) + f"all {n}\n", text["stdout"])
        self.assertEqual("".join(f"note {i}\n" for i in range(n)), text["stderr"])
        self.assertEqual(7, self.ended(beside["id"])["exit_code"])
        lines = self.output(beside["id"]).body.decode().split("\r\n")
        n = int(lines[-2].split()[1])
        self.assertEqual([line for i in range(n) for line in (f"step {i}", f"note {i}")] + [f"all {n}", ""], lines)
        self.assertEqual(8, self.ended(quiet["id"])["exit_code"])

    def test_an_end_that_came_while_no_server_ran(self):
        record = self.start("sh", "-c", "sleep 0.3; seq 1 1000; exit 9")
        self.server.kill()
        self.server.start()
        done = self.ended(record["id"])
        self.assertEqual(9, done["exit_code"])
        self.assertEqual("".join(f"{i}\n" for i in range(1, 1001)).encode(), self.output(record["id"]).body)

    def test_much_output_is_kept_in_bounds(self):
        record = self.start("sh", "-c", "i=0; while [ $i -lt 600 ]; do head -c 16384 /dev/zero | tr '\\0' x; "
                                        "i=$((i+1)); done; echo end")
        done = self.ended(record["id"])
        self.assertEqual(600 * 16384 + 4, done["output_bytes"])
        frames = [json.loads(line) for line in self.output(record["id"], "", NDJSON).body.splitlines()]
        self.assertEqual(("skipped", 0), (frames[0]["type"], frames[0]["from"]))
        self.assertEqual(frames[0]["to"], frames[1]["offset"])
        tail = self.output(record["id"])
        self.assertEqual(done["output_bytes"] - len(tail.body), int(tail.headers["Banger-Output-From"]))
        self.assertGreater(len(tail.body), 3 << 20)
        self.assertTrue(tail.body.endswith(b"xend\n"))

    def test_input_in_parts(self):
        data = bytes(range(256)) * 2048
        for yes, no in (("true", "false"), ("1", "0")):
            record = self.start("sha256sum", stdin_open=True)
            for part, more in ((data[:300000], yes), (data[300000:], no)):
                self.server.must(204, "POST", f"/vms/a/execs/{record['id']}/stdin?more={more}", part, headers=BIN)
            summed = self.output(record["id"], f"?follow={yes}")
            self.assertEqual(hashlib.sha256(data).hexdigest(), summed.body.split()[0].decode())
        self.server.must(409, "POST", f"/vms/a/execs/{record['id']}/stdin", b"x", headers=BIN)
        given = self.start("cat", stdin="given at the start")
        self.ended(given["id"])
        self.assertEqual(b"given at the start", self.output(given["id"]).body)

    def test_signals_and_limits(self):
        record = self.start("sh", "-c", "trap 'echo caught; exit 5' USR1; while :; do sleep 0.1; done")
        wait_until(lambda: self.get(record["id"])["state"] == "running", "it runs")
        self.server.run("a", "sh", "-c", f"until grep -q 'SigCgt:.*2' /proc/{record['pid']}/status; do sleep 0.1; done; sleep 0.3")
        self.server.must(204, "POST", f"/vms/a/execs/{record['id']}/signal", {"signal": "USR1"})
        self.assertEqual(5, self.ended(record["id"])["exit_code"])
        killed = self.start("sleep", "1000")
        self.server.must(204, "POST", f"/vms/a/execs/{killed['id']}/signal", {"signal": "KILL"})
        done = self.ended(killed["id"])
        self.assertEqual((None, 9), (done["exit_code"], done["signal"]))
        late = self.start("sleep", "1000", timeout_s=1)
        self.assertTrue(self.ended(late["id"])["timed_out"])
        self.server.must(422, "POST", f"/vms/a/execs/{late['id']}/signal", {"signal": "RTMIN"})

    def test_delete_ends_it_in_the_guest(self):
        record = self.start("sleep", "98765")
        self.server.must(204, "DELETE", f"/vms/a/execs/{record['id']}")
        wait_until(lambda: "98765" not in self.server.run("a", "ps"), "it is gone in the guest")

    def test_what_can_not_be_started(self):
        reply = self.server.call("POST", "/vms/a/execs", {"argv": ["/no/such/program"]})
        self.assertGreaterEqual(reply.status, 400)
        self.assertIn("/no/such/program", reply.json()["detail"])
        self.assertEqual([], self.server.must(200, "GET", "/vms/a/execs")["items"])
        self.server.must(422, "GET", "/vms/a/execs/nonsense")
        self.server.must(404, "GET", "/vms/a/execs/0000000000000000")

    def test_the_same_key_starts_it_once(self):
        key = {"Idempotency-Key": "once"}
        body = {"argv": ["sh", "-c", "echo x >> /root/ran"]}
        first = self.server.must(201, "POST", "/vms/a/execs", body, headers=key)
        self.assertEqual(first["id"], self.server.must(201, "POST", "/vms/a/execs", body, headers=key)["id"])
        self.ended(first["id"])
        self.assertEqual("x\n", self.server.run("a", "cat", "/root/ran"))

    def test_the_end_of_the_vm_ends_the_readers(self):
        record = self.start("sh", "-c", "echo begun; sleep 1000")
        wait_until(lambda: self.get(record["id"])["output_bytes"] == 6, "it has begun")
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        lost = self.get(record["id"])
        self.assertEqual("lost", lost["state"])
        self.assertIn("ended", lost["reason"])
        frames = [json.loads(line) for line in self.output(record["id"], "?follow=true", NDJSON).body.splitlines()]
        self.assertEqual(["stdout", "error"], [f["type"] for f in frames])
        self.server.must(409, "POST", "/vms/a/execs", {"argv": ["true"]})
        self.server.delete("a")
        self.assert_nothing_left()

    def test_the_end_of_the_vm_is_the_last_frame_of_who_reads_along(self):
        record = self.start("sh", "-c", "echo begun; sleep 1000")
        connection = UnixConnection(self.server.socket, 60)
        connection.request("GET", f"/vms/a/execs/{record['id']}/output?follow=true", headers=NDJSON)
        follow = connection.getresponse()
        self.assertEqual("begun\n", json.loads(follow.readline())["data"])
        simple = UnixConnection(self.server.socket, 60)
        simple.request("POST", "/vms/a/exec", json.dumps({"argv": ["sh", "-c", "echo too; sleep 1000"]}),
                       {**NDJSON, "Content-Type": "application/json"})
        reply = simple.getresponse()
        self.assertEqual("too\n", json.loads(reply.readline())["data"])
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        for stream in (follow, reply):
            last = json.loads(stream.readline())
            self.assertEqual(("error", 502), (last["type"], last["problem"]["status"]), last)
            self.assertEqual(b"", stream.read().strip())

    def test_a_reader_that_broke_off_goes_on_where_it_was(self):
        record = self.start("sh", "-c", COUNT.format(n=150))
        got = b""
        for part in (300, 500):
            connection = UnixConnection(self.server.socket, 60)
            connection.request("GET", f"/vms/a/execs/{record['id']}/output?follow=true&from={len(got)}", headers=PLAIN)
            got += connection.getresponse().read(part)
            connection.close()
        got += self.output(record["id"], f"?follow=true&from={len(got)}").body
        self.assertEqual("".join(f"line {i}\n" for i in range(150)).encode(), got)

    def test_a_suspension_is_survived(self):
        record = self.start("sh", "-c", COUNT.format(n=200))
        wait_until(lambda: self.get(record["id"])["output_bytes"] > 100, "it writes")
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        self.assertEqual("running", self.get(record["id"])["state"])
        self.server.must(200, "POST", "/vms/a/resume", wait=120)
        done = self.ended(record["id"])
        self.assertEqual(7, done["exit_code"])
        self.assertEqual("".join(f"line {i}\n" for i in range(200)).encode(), self.output(record["id"]).body)


if __name__ == "__main__":
    unittest.main(verbosity=2)
