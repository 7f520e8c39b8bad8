# SPDX-License-Identifier: Apache-2.0
"""Every verb: what it does to the guest, and that a state which does not allow it says which ones it does."""
import json
import os
import signal
import threading
import time
import unittest

from harness import SHAPE, LifeTest, wait_until


class Verbs(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def stopped(self, name, **fields):
        return self.server.must(201, "POST", "/vms", {"name": name, "image": "mini", **SHAPE, "start": False,
                                                      **fields})

    def test_pause_and_resume_keep_the_guest(self):
        self.server.create("a")
        boot = self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id")
        self.assertEqual("paused", self.server.must(200, "POST", "/vms/a/pause", wait=60)["state"])
        problem = self.server.must(409, "POST", "/vms/a/exec", {"argv": ["true"]})
        self.assertIn("paused", problem["detail"])
        self.assertIn("resume", problem["detail"])
        self.server.must(409, "POST", "/vms/a/pause")
        self.assertEqual("running", self.server.must(200, "POST", "/vms/a/resume", wait=60)["state"])
        self.assertEqual(boot, self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id"))
        self.server.must(409, "POST", "/vms/a/resume")
        self.server.must(409, "POST", "/vms/a/start")
        self.server.must(409, "POST", "/vms/a/recover")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_verb_is_held_against_the_state_that_its_turn_finds(self):
        self.stopped("a")
        for action in ("start", "pause", "resume", "suspend", "start"):
            replies = self.at_once(3, "POST", f"/vms/a/{action}")
            self.assertEqual([200, 409, 409], sorted(r.status for r in replies), replies)
            refused = next(r for r in replies if r.status == 409).json()
            self.assertEqual("wrong_state", refused["code"])
            self.assertIn("possible:", refused["detail"])
            self.assertIn("delete", refused["allowed"])
            self.assertNotIn(action, refused["allowed"])
            if action == "start":
                self.assertEqual("a\n", self.server.run("a", "hostname"))
            if action == "resume":
                self.server.run("a", "sh", "-c", "echo kept >/dev/shm/memory")
        self.assertEqual("kept\n", self.server.run("a", "cat", "/dev/shm/memory"))
        # One that is done when its turn comes: both are accepted while something else is at work.
        monitor = next(pid for pid, line in self.server.vmms().items() if "qemu" in line)
        os.kill(monitor, signal.SIGSTOP)
        try:
            accepted = [self.server.must(202, "POST", f"/vms/a/{verb}") for verb in ("pause", "stop", "stop")]
        finally:
            os.kill(monitor, signal.SIGCONT)
        self.assertEqual(["succeeded"] * 3, [self.server.wait_operation(o["id"])["state"] for o in accepted])
        self.assertEqual("stopped", self.server.state("a"))
        self.server.delete("a")
        self.assert_nothing_left()

    def at_once(self, n, method, target):
        """Replies to n equal requests that come together."""
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(
            self.server.call(method, target, None, {"Prefer": "wait=240"}))) for _ in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(300)
        return replies

    def test_a_stop_behind_a_suspend_leaves_its_memory(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/dev/shm/memory")
        suspended = self.server.must(202, "POST", "/vms/a/suspend")
        reply = self.server.call("POST", "/vms/a/stop", None, {"Prefer": "wait=60"})
        self.assertEqual(409, reply.status, reply)
        self.assertEqual("succeeded", self.server.wait_operation(suspended["id"])["state"])
        self.assertEqual("kept\n", self.server.run("a", "cat", "/dev/shm/memory"))
        self.server.delete("a")

    def test_several_wake_one(self):
        self.server.create("a")
        self.server.must(200, "POST", "/vms/a/suspend", wait=60)
        said = []
        threads = [threading.Thread(target=lambda: said.append(self.server.run("a", "echo", "x"))) for _ in range(6)]
        for t in threads:
            t.start()
            time.sleep(0.1)
        for t in threads:
            t.join(120)
        self.assertEqual(["x\n"] * 6, said)
        starts = [o for o in self.server.must(200, "GET", "/operations")["items"] if o["kind"] == "vm.start"]
        self.assertEqual(1, len(starts))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_restart_is_a_new_boot_on_the_same_disk(self):
        self.server.create("a")
        boot = self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id")
        self.server.run("a", "sh", "-c", "echo kept >/root/file")
        self.server.must(200, "POST", "/vms/a/restart", wait=240)
        self.assertNotEqual(boot, self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id"))
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"), "stop flushes the disk")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_stop_of_a_paused_vm(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/file")
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        vm = self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.assertEqual(("stopped", "stopped on request"), (vm["state"], vm["reason"]))
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"), "the guest has written it out")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_cancelled_start_is_not_wanted(self):
        self.stopped("a")
        accepted = self.server.must(202, "POST", "/vms/a/start")
        wait_until(self.server.vmms, "the VMM runs")
        self.server.call("DELETE", f"/operations/{accepted['id']}")
        self.assertEqual("cancelled", self.server.wait_operation(accepted["id"])["state"])
        vm = self.server.must(200, "GET", "/vms/a")
        self.assertEqual(("stopped", "stopped", "its start was cancelled"), (vm["state"], vm["desired"], vm["reason"]))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_delete_overtakes_a_start(self):
        accepted = self.server.must(202, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "boot": "cold"})
        wait_until(self.server.vmms, "the VMM runs")
        self.server.delete("a")
        self.assertEqual("cancelled", self.server.operation(accepted["id"])["state"])
        self.assert_nothing_left()

    def test_cancelled_create_leaves_nothing(self):
        accepted = self.server.must(202, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "boot": "cold"})
        self.server.call("DELETE", f"/operations/{accepted['id']}")
        self.assertEqual("cancelled", self.server.wait_operation(accepted["id"])["state"])
        if "a" in self.server.names():
            self.assertIn(self.server.state("a"), ("stopped", "created"))
            self.server.delete("a")
        self.assert_nothing_left()

    # --- set ---

    def test_set_of_a_stopped_vm(self):
        self.stopped("a")
        vm = self.server.must(200, "PATCH", "/vms/a", {"vcpus": 2, "memory_mib": 160, "disk_mib": 128, "nat": False,
                                                       "labels": {"team": "x"}, "ttl_s": 1000, "idle_stop_s": 500})
        self.assertEqual((2, 160, 128, False, {"team": "x"}, 500),
                         (vm["vcpus"], vm["memory_mib"], vm["disk_mib"], vm["nat"], vm["labels"], vm["idle_stop_s"]))
        self.assertIn("expires", vm)
        vm = self.server.must(200, "PATCH", "/vms/a", {"ttl_s": 0, "idle_stop_s": 0})
        self.assertNotIn("expires", vm)
        self.assertNotIn("idle_stop_s", vm)
        self.server.must(422, "PATCH", "/vms/a", {"disk_mib": 64})
        self.server.must(422, "PATCH", "/vms/a", {"memory_mib": 1048576})
        self.server.must(422, "PATCH", "/vms/a", {"vcpus": 0})
        self.server.must(422, "PATCH", "/vms/a", {"state": "running"})
        self.server.must(422, "PATCH", "/vms/a", {})
        self.server.kill()
        self.server.start()
        vm = self.server.must(200, "GET", "/vms/a")
        self.assertEqual((2, 160, 128, {"team": "x"}), (vm["vcpus"], vm["memory_mib"], vm["disk_mib"], vm["labels"]))
        self.server.delete("a")

    def test_set_of_a_running_vm_says_what_needs_a_stop(self):
        self.server.create("a")
        problem = self.server.must(409, "PATCH", "/vms/a", {"vcpus": 2, "disk_mib": 256, "labels": {"no": "change"}})
        for word in ("vcpus", "disk_mib", "stopped"):
            self.assertIn(word, problem["detail"])
        self.assertEqual({}, self.server.must(200, "GET", "/vms/a")["labels"], "all of it or nothing")
        vm = self.server.must(200, "PATCH", "/vms/a", {"labels": {"a": "b"}, "ttl_s": 3600})
        self.assertEqual({"a": "b"}, vm["labels"])
        self.server.delete("a")

    def test_grown_disk_is_used_by_the_guest(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/file")

        def size_kib():
            return int(self.server.run("a", "df", "-k", "/").splitlines()[-1].split()[-5])

        before = size_kib()
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.server.must(200, "PATCH", "/vms/a", {"disk_mib": SHAPE["disk_mib"] + 192, "vcpus": 2})
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertGreater(size_kib(), before + 150 * 1024)
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"))
        self.assertEqual("2\n", self.server.run("a", "nproc"))
        self.server.delete("a")
        self.assert_nothing_left()

    # --- several ---

    def test_actions_on_several(self):
        for name in ("a", "b", "c"):
            self.stopped(name)
        results = self.server.must(200, "POST", "/vms/actions", {"action": "delete", "vms": ["c", "nobody", "a"]},
                                   wait=60)["results"]
        self.assertEqual(["c", "nobody", "a"], [r["vm"] for r in results], "in the order given")
        self.assertEqual(["succeeded", "failed", "succeeded"], [r["state"] for r in results])
        self.assertEqual("not_found", results[1]["error"]["code"])
        self.assertEqual(["b"], self.server.names())
        results = self.server.must(200, "POST", "/vms/actions", {"action": "stop", "vms": ["b"]}, wait=60)["results"]
        self.assertEqual("wrong_state", results[0]["error"]["code"])
        self.server.must(422, "POST", "/vms/actions", {"action": "dance", "vms": ["b"]})
        self.server.must(422, "POST", "/vms/actions", {"action": "stop", "vms": []})
        results = self.server.must(200, "POST", "/vms/actions", {"action": "delete", "vms": ["b", "b"]},
                                   wait=60)["results"]
        self.assertEqual(["succeeded", "succeeded"], [r["state"] for r in results])
        self.assertEqual(results[0]["operation"], results[1]["operation"])
        self.assert_nothing_left()

    def test_actions_name_a_vm_twice(self):
        vm = self.stopped("a")
        results = self.server.must(200, "POST", "/vms/actions", {"action": "start", "vms": ["a", vm["id"], "a"]},
                                   wait=240)["results"]
        self.assertEqual(["succeeded"] * 3, [r["state"] for r in results])
        self.assertEqual(1, len({r["operation"] for r in results}))
        results = self.server.must(200, "POST", "/vms/actions", {"action": "recover", "vms": ["a", "a"]})["results"]
        self.assertEqual([["wrong_state"]] * 2, [[r["error"]["code"]] for r in results])
        self.server.must(422, "POST", "/vms/actions", {"action": "stop", "vms": ["a"], "signal": "TERM"})
        self.server.must(422, "POST", "/vms/actions", {"action": "kill", "vms": ["a"], "signal": "STOP"})
        results = self.server.must(200, "POST", "/vms/actions", {"action": "kill", "vms": ["a"], "signal": "USR2"},
                                   wait=60)["results"]
        # The VMM makes nothing of this one: KILL follows.
        self.assertIn("signal", [s["name"] for s in self.server.operation(results[0]["operation"])["stages"]])
        self.assertEqual("stopped", self.server.state("a"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_what_has_ended_is_not_cancelled(self):
        self.server.create("a")
        for _ in range(2):
            operation = next(o for o in self.server.must(200, "GET", "/operations")["items"] if o["kind"] == "vm.create")
            problem = self.server.must(409, "DELETE", f"/operations/{operation['id']}")
            self.assertEqual("wrong_state", problem["code"])
            self.assertIn("succeeded", problem["detail"])
            # Also when it is not in memory any more.
            self.server.kill()
            self.server.start()
        self.server.delete("a")

    def test_a_preference_that_makes_no_sense(self):
        self.stopped("a")
        for prefer in ("wait=abc", "wait", "wait=", "wait=-1", "wait=1.5", 'respond-async, wait="x"', "on-disconnect=maybe"):
            reply = self.server.call("POST", "/vms/a/start", None, {"Prefer": prefer})
            self.assertEqual(400, reply.status, (prefer, reply))
            self.assertIn("Prefer", reply.json()["detail"])
        self.assertEqual("created", self.server.state("a"))
        for prefer in ("handling=strict", "return=minimal, waiting=x", "wait=0", 'WAIT = "0" ; x=y', "wait=99999",
                       "on-disconnect=continue"):
            self.assertEqual(200, self.server.call("GET", "/vms/a", None, {"Prefer": prefer}).status, prefer)
        self.assertEqual(200, self.server.call("POST", "/vms/a/start", None,
                                               {"Prefer": "return=minimal , foo; wait=1, wait=240, wait=1"}).status)
        self.server.delete("a")

    def test_actions_run_side_by_side_and_answer_without_waiting(self):
        for name in ("a", "b", "c"):
            self.server.create(name)
        results = self.server.must(200, "POST", "/vms/actions", {"action": "pause", "vms": ["a", "b", "c"]})["results"]
        for result in results:
            self.assertEqual("succeeded", self.server.wait_operation(result["operation"])["state"])
        self.assertEqual({"paused"}, {self.server.state(n) for n in "abc"})
        self.server.must(200, "POST", "/vms/actions", {"action": "delete", "vms": ["a", "b", "c"]}, wait=60)
        self.assert_nothing_left()

    def test_prune(self):
        self.stopped("a")
        self.stopped("b")
        self.server.create("busy")
        results = self.server.must(200, "POST", "/vms/prune", {"dry_run": True})["results"]
        self.assertEqual(["a", "b"], [r["vm"] for r in results])
        self.assertEqual(["a", "b", "busy"], self.server.names())
        self.server.must(200, "POST", "/vms/prune", {"states": ["failed"]}, wait=60)
        self.assertEqual(["a", "b", "busy"], self.server.names())
        self.server.must(200, "POST", "/vms/prune", {}, wait=60)
        self.assertEqual(["busy"], self.server.names())
        self.server.delete("busy")
        self.assert_nothing_left()

    # --- waiting ---

    def test_wait(self):
        self.stopped("a", labels={})
        self.assertEqual("created", self.server.must(200, "GET", "/vms/a/wait")["state"])
        problem = self.server.must(504, "GET", "/vms/a/wait?state=running&timeout_s=1")
        self.assertIn("created", problem["detail"])
        seen = []

        def waiter():
            seen.append(self.server.must(200, "GET", "/vms/a/wait?state=running&state=failed&timeout_s=240")["state"])

        threads = [threading.Thread(target=waiter) for _ in range(3)]
        for t in threads:
            t.start()
        self.server.must(202, "POST", "/vms/a/start")
        for t in threads:
            t.join(240)
        self.assertEqual(["running"] * 3, seen)
        gone = threading.Thread(target=lambda: seen.append(self.server.call("GET", "/vms/a/wait?state=stopped").status))
        gone.start()
        time.sleep(0.5)
        self.server.delete("a")
        gone.join(60)
        self.assertEqual(404, seen[-1])
        self.assert_nothing_left()

    # --- time ---

    def test_ttl_deletes(self):
        self.server.create("a")
        self.server.must(200, "PATCH", "/vms/a", {"ttl_s": 1})
        wait_until(lambda: not self.server.names(), "the VM is gone", 60)
        self.assert_nothing_left()

    def test_ttl_holds_over_a_crash(self):
        self.stopped("a", ttl_s=2)
        self.server.kill()
        self.server.start()
        wait_until(lambda: not self.server.names(), "the VM is gone", 60)
        self.assert_nothing_left()

    def test_idle_stop_waits_for_work_and_holds(self):
        self.server.create("a", idle_stop_s=2)
        self.assertIn("sleeps", self.server.must(200, "GET", "/vms/a"))
        # A command that says nothing for longer than that is work.
        self.server.run("a", "sleep", "4")
        self.assertEqual("running", self.server.state("a"))
        hold = self.server.must(201, "POST", "/vms/a/holds", {"ttl_s": 600, "reason": "looking"})
        self.assertEqual([hold], self.server.must(200, "GET", "/vms/a/holds")["items"])
        time.sleep(4)
        self.assertEqual("running", self.server.state("a"))
        self.server.must(204, "DELETE", f"/vms/a/holds/{hold['id']}")
        self.server.must(404, "DELETE", f"/vms/a/holds/{hold['id']}")
        wait_until(lambda: self.server.state("a") == "stopped", "the idle VM is stopped", 60)
        operations = self.server.must(200, "GET", "/operations")["items"]
        self.assertEqual("stopped after 2 s without activity (idle_stop_s)",
                         self.server.must(200, "GET", "/vms/a")["reason"])
        self.assertEqual(["idle"], [o["requested_by"] for o in operations if o["kind"] == "vm.stop"])
        self.server.delete("a")
        self.assert_nothing_left()

    def test_idle_suspend_and_what_wakes(self):
        self.server.create("a", idle_stop_s=600, idle_suspend_s=2)
        wait_until(lambda: self.server.state("a") == "suspended", "the idle VM is suspended", 60)
        self.assertEqual("suspended after 2 s without activity (idle_suspend_s)",
                         self.server.must(200, "GET", "/vms/a")["reason"])
        self.assertEqual("x\n", self.server.run("a", "echo", "x"), "a command wakes it")
        vm = self.server.must(200, "PATCH", "/vms/a", {"wake": "never"})
        self.assertEqual("never", vm["wake"])
        wait_until(lambda: self.server.state("a") == "suspended", "it is suspended again", 60)
        problem = self.server.must(409, "POST", "/vms/a/exec", {"argv": ["true"]})
        self.assertIn("wake: never", problem["detail"])
        self.assertEqual("suspended", self.server.state("a"))
        vm = self.server.must(200, "PATCH", "/vms/a", {"idle_suspend_s": 0})
        self.assertNotIn("idle_suspend_s", vm)
        self.server.must(200, "POST", "/vms/a/resume", wait=120)
        self.server.delete("a")
        self.assert_nothing_left()

    def test_idle_clock_goes_on_after_a_pause(self):
        self.server.create("a", idle_stop_s=1)
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        time.sleep(2)
        self.assertEqual("paused", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        wait_until(lambda: self.server.state("a") == "stopped", "the idle VM is stopped", 60)
        self.server.delete("a")

    def test_kill_by_a_signal(self):
        self.server.create("a")
        vm = self.server.must(200, "POST", "/vms/a/kill?signal=TERM", wait=60)
        self.assertEqual("stopped", vm["state"])
        self.server.must(422, "POST", "/vms/a/kill?signal=STOP")
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        # The VMM makes nothing of this one: KILL follows.
        self.assertEqual("stopped", self.server.must(200, "POST", "/vms/a/kill?signal=USR2", wait=60)["state"])
        stages = [[s["name"] for s in o["stages"]] for o in self.server.must(200, "GET", "/operations")["items"]
                  if o["kind"] == "vm.kill"]
        self.assertIn("signal", stages[0])
        self.server.delete("a")
        self.assert_nothing_left()

    # --- failure ---

    def test_failed_vm_is_diagnosed_and_recovered(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/file; sync; echo last words >/dev/console")
        for pid in self.server.vmms():
            os.kill(pid, signal.SIGSEGV)
        wait_until(lambda: self.server.state("a") == "failed", "the VM is seen as failed")
        found = self.server.must(200, "GET", "/vms/a/diagnosis")
        self.assertEqual("failed", found["state"])
        self.assertIn("SIGSEGV", found["vmm_exit"])
        self.assertIn("last words", json.dumps(found["console"]))
        self.assertEqual("running", self.server.must(200, "POST", "/vms/a/recover", wait=240)["state"])
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_kernel_that_panics(self):
        # Of the least memory that there is: with less, this kernel panics as it boots.
        self.server.create("a", memory_mib=96, boot="cold")
        self.server.run("a", "sh", "-c", "(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
        wait_until(lambda: self.server.state("a") == "failed", "the guest's end is noticed", 60)
        self.assertIn("the guest's kernel panicked: sysrq", self.server.must(200, "GET", "/vms/a")["reason"])
        self.assertIn("panicked", self.server.must(200, "GET", "/vms/a/diagnosis")["vmm_exit"])
        # What an earlier boot left in the log is not held against this one.
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.server.run("a", "sh", "-c", "(sleep 1; poweroff -f) >/dev/null 2>&1 &")
        wait_until(lambda: self.server.state("a") == "stopped", "the guest is off", 60)
        self.assertEqual("the guest powered off", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.server.run("a", "sh", "-c", "(sleep 1; reboot -f) >/dev/null 2>&1 &")
        wait_until(lambda: self.server.state("a") == "stopped", "the guest is off", 60)
        self.assertIn("the guest rebooted", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
