# SPDX-License-Identifier: Apache-2.0
"""The user-mode network of a guest that runs: when its programs end, the guest is given others, or the VM says what to do."""
import contextlib
import functools
import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import struct
import threading
import time
import unittest

from harness import SERVER, LifeTest, wait_until


def own_address():
    """Of this host, not loopback: a guest reaches the host by it as anybody would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.77", 9))
        return s.getsockname()[0]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"seen from the guest\n")

    def log_message(self, *_):
        pass


class UserNet(LifeTest):
    def setUp(self):
        super().setUp()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write("[vms]\ncheck_s = 1\n")
        # Beside programs of its own, of which one can be missing.
        self.programs = f"{self.home}/programs"
        os.mkdir(self.programs)
        for name in os.listdir(os.path.dirname(SERVER)):
            if name.startswith("banger-"):
                shutil.copy2(f"{os.path.dirname(SERVER)}/{name}", self.programs)
        self.server.program = f"{self.programs}/{os.path.basename(SERVER)}"
        self.server.start()
        if self.server.must(200, "GET", "/capabilities")["default_network"] != "user":
            self.skipTest("no user-mode network here")
        self.page = http.server.ThreadingHTTPServer((own_address(), 0), Page)
        threading.Thread(target=self.page.serve_forever, daemon=True).start()
        self.addCleanup(self.page.server_close)
        self.addCleanup(self.page.shutdown)
        self.vm = self.server.create("a", network="user", boot="cold")
        self.assert_reaches()

    def assert_reaches(self):
        host, port = self.page.server_address
        out = self.server.run("a", "wget", "-O", "-", f"http://{host}:{port}/", timeout_s=30)
        self.assertIn("seen from the guest", str(out))

    def gate(self):
        with open(f"{self.home}/run/vm/{self.vm['id']}/net.counters", "rb") as f:
            pid = struct.unpack("=5Q", f.read())[4]
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            self.assertEqual("banger-netgate", f.read().strip())
        return pid

    def end_gate(self):
        os.kill(self.gate(), signal.SIGKILL)

    def renewed(self, before):
        with contextlib.suppress(OSError):
            return self.gate() != before
        return False

    def told(self):
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", timeout=30)) as db:
            return [json.loads(row[0])["data"]["found"]
                    for row in db.execute("SELECT document FROM events WHERE kind = 'vm.reconciled' AND target = ?", (self.vm["id"],))]

    def test_another_takes_the_place_of_one_that_ended(self):
        for i in range(3):
            before = self.gate()
            self.end_gate()
            wait_until(functools.partial(self.renewed, before), "the guest has another network")
            wait_until(lambda n=i: len(self.told()) == n + 1, "it is told")
            self.assert_reaches()
        self.assertEqual("its user network had ended", self.told()[0])
        self.assertNotIn("reason", self.server.must(200, "GET", "/vms/a"))
        # An end that was asked for is no such thing.
        self.server.must(200, "POST", "/vms/a/restart", wait=240)
        self.assert_reaches()
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        self.server.must(200, "POST", "/vms/a/resume", wait=120)
        self.assert_reaches()
        time.sleep(2.5)
        self.assertEqual(3, len(self.told()))

    def test_it_ended_while_there_was_no_server(self):
        before = self.gate()
        self.server.kill()
        self.end_gate()
        self.server.start()
        wait_until(functools.partial(self.renewed, before), "the guest has another network")
        self.assert_reaches()
        # And a server that took it up watches it.
        self.server.kill()
        self.server.start()
        before = self.gate()
        self.end_gate()
        wait_until(functools.partial(self.renewed, before), "the guest has another network")
        self.assert_reaches()

    def test_what_to_do_is_said_where_there_is_no_other(self):
        program = f"{self.programs}/banger-netgate"
        os.rename(program, f"{program}.away")
        self.end_gate()
        reason = wait_until(lambda: self.server.must(200, "GET", "/vms/a").get("reason"), "the VM says so")
        self.assertIn("suspend and resume the VM", reason)
        self.assertIn("banger-netgate", reason)
        self.assertEqual("running", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        os.rename(f"{program}.away", program)
        self.server.must(200, "POST", "/vms/a/resume", wait=120)
        self.assert_reaches()
        self.assertNotIn("reason", self.server.must(200, "GET", "/vms/a"))


if __name__ == "__main__":
    unittest.main()
