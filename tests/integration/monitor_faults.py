# SPDX-License-Identifier: Apache-2.0
"""A monitor hangs, a guest does not answer, or the server ends in the middle."""
import contextlib
import os
import signal
import socket
import threading
import time
import unittest

from faults import FaultTest
from harness import SHAPE, wait_until


class Stopped(FaultTest):
    """A VMM that hangs, a guest that does not answer."""

    @contextlib.contextmanager
    def stopped(self, vm):
        pids = [pid for pid, line in self.server.vmms().items() if vm["id"] in line and "qemu" in line]
        self.assertEqual(1, len(pids))
        os.kill(pids[0], signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGCONT)


class Watched(Stopped):
    def test_a_monitor_that_hangs_is_told_once(self):
        vm = self.precious()
        with self.stopped(vm):
            wait_until(lambda: "does not answer" in self.server.must(200, "GET", "/vms/a").get("reason", ""),
                       "the hanging VMM is told", 40)
            self.assertEqual("running", self.server.state("a"))
            self.server.kill()
            self.server.start()
            self.assertIn("does not answer", self.server.must(200, "GET", "/vms/a")["reason"])
            time.sleep(3)
        wait_until(lambda: "reason" not in self.server.must(200, "GET", "/vms/a"), "it answers again", 40)
        self.assertEqual(["its VMM does not answer", "its VMM answers again"], self.told(vm))
        self.all_well()

    def test_a_guest_that_somebody_else_has_stopped(self):
        vm = self.precious()
        with socket.socket(socket.AF_UNIX) as qemu:
            qemu.connect(f"{self.home}/run/vm/{vm['id']}/qmp.sock")
            qemu.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "stop"}\n')
            with qemu.makefile("rb") as said:
                while b'"STOP"' not in said.readline():
                    pass
        wait_until(lambda: self.told(vm), "it is told", 40)
        self.server.run("a", "true", timeout_s=20)
        self.assertEqual(["its guest is not as it was told"], self.told(vm))
        self.all_well()


class Monitor(Stopped):
    config = ""

    def test_a_monitor_that_hangs(self):
        vm = self.precious()
        with self.stopped(vm):
            begun = time.monotonic()
            self.refused(504, "did not answer in time", "POST", "/vms/a/pause")
            self.assertLess(time.monotonic() - begun, 25)
            self.assertEqual("running", self.server.state("a"))
            # Others are not held up.
            self.server.create("b")
            self.server.delete("b")
        self.all_well()

    def swallow(self, vm, command):
        """Between server and QEMU: what it answers to the command is lost, once."""
        path = f"{self.home}/run/vm/{vm['id']}/qmp.sock"
        os.rename(path, f"{path}.real")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve():
            client, _ = listener.accept()
            listener.close()
            os.rename(f"{path}.real", path)
            with client, socket.socket(socket.AF_UNIX) as qemu:
                qemu.connect(path)
                to_client, to_qemu = client.makefile("wb", 0), qemu.makefile("wb", 0)
                from_client, from_qemu = client.makefile("rb"), qemu.makefile("rb")
                to_client.write(from_qemu.readline())
                for line in from_client:
                    to_qemu.write(line)
                    answer = from_qemu.readline()
                    while b'"event"' in answer:
                        answer = from_qemu.readline()
                    if command in line:
                        return
                    to_client.write(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join, 30)

    def test_a_monitor_whose_answer_is_lost(self):
        vm = self.precious()
        for command, method, target, body in ((b'"stop"', "POST", "/vms/a/pause", None),
                                              (b'"stop"', "POST", "/vms/a/snapshots", {})):
            with self.subTest(target=target):
                self.swallow(vm, command)
                reply = self.server.call(method, target, body, {"Prefer": "wait=60"})
                self.assertEqual(503, reply.status, reply)
                self.assertEqual("running", self.server.state("a"))
                # It has stopped, and is not left so.
                self.server.run("a", "true", timeout_s=20)
        self.assertEqual("paused", self.server.must(200, "POST", "/vms/a/pause", wait=60)["state"])
        self.swallow(vm, b'"cont"')
        self.assertEqual(503, self.server.call("POST", "/vms/a/resume", None, {"Prefer": "wait=60"}).status)
        self.assertEqual("paused", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        self.all_well()

    def test_a_monitor_that_hangs_is_adopted_and_killed(self):
        vm = self.precious()
        with self.stopped(vm):
            self.server.kill()
            begun = time.monotonic()
            self.server.start(timeout=20)
            self.assertLess(time.monotonic() - begun, 10, "a start does not wait for a VMM")
            self.assertEqual("running", self.server.state("a"))
        self.server.run("a", "true")
        with self.stopped(vm):
            self.assertEqual("stopped", self.server.must(200, "POST", "/vms/a/kill", wait=60)["state"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()

    def test_a_guest_that_does_not_answer(self):
        vm = self.precious()
        with self.stopped(vm):
            begun = time.monotonic()
            problem = self.refused(504, "", "POST", "/vms/a/exec", {"argv": ["true"], "timeout_s": 2})
            self.assertLess(time.monotonic() - begun, 25, problem)
            begun = time.monotonic()
            self.server.must(200, "POST", "/vms/a/stop", wait=60)
            self.assertLess(time.monotonic() - begun, 40)
            self.assertEqual("stopped", self.server.state("a"))
            self.assertEqual("stopped on request; the guest did not power off within 15 s and was killed",
                             self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()

    def test_a_stop_that_is_cancelled(self):
        vm = self.precious()
        with self.stopped(vm):
            accepted = self.server.must(202, "POST", "/vms/a/stop")
            wait_until(lambda: "guest" in [s["name"] for s in self.server.operation(accepted["id"])["stages"]], "it waits")
            self.server.call("DELETE", f"/operations/{accepted['id']}")
            self.assertEqual("cancelled", self.server.wait_operation(accepted["id"])["state"])
            shown = self.server.must(200, "GET", "/vms/a")
            self.assertEqual(("running", "running"), (shown["state"], shown["desired"]))
            self.assertIn("stop was cancelled", shown["reason"])
        # It has been asked, and does it.
        wait_until(lambda: self.server.state("a") == "stopped", "the guest is off", 60)
        self.assertEqual("the guest powered off", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()


class Ending(FaultTest):
    def test_sigterm_in_the_middle_of_creates(self):
        self.precious()
        pending = [self.server.must(202, "POST", "/vms", {"name": f"n{i}", "image": "mini", **SHAPE, "boot": boot})
                   for i, boot in enumerate(("cold", "auto", "cold"))]
        time.sleep(0.3)
        self.server.stop(30)
        self.server.start()
        for accepted in pending:
            operation = self.server.operation(accepted["id"])
            self.assertIn(operation["state"], ("succeeded", "failed", "cancelled"))
            if operation["state"] != "succeeded":
                self.assertTrue(operation["error"]["detail"])
        for name in set(self.server.names()) - {"a"}:
            wait_until(lambda name=name: self.server.state(name) in ("stopped", "failed", "running"),
                       f"{name} is not between two states", 60)
            self.server.delete(name)
        self.all_well()

    def test_sigterm_while_a_monitor_hangs(self):
        vm = self.precious()
        pid = next(pid for pid, line in self.server.vmms().items() if vm["id"] in line)
        os.kill(pid, signal.SIGSTOP)
        try:
            self.server.must(202, "POST", "/vms/a/pause")
            time.sleep(0.2)
            begun = time.monotonic()
            self.server.stop(30)
            self.assertLess(time.monotonic() - begun, 8)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.server.start()
        self.assertEqual("running", self.server.state("a"))
        self.all_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
