# SPDX-License-Identifier: Apache-2.0
"""What VMs use of the host is measured, and a host that runs out of disk holds its VMs back."""
import os
import signal
import subprocess
import time
import unittest

from harness import LifeTest, wait_until


class Stats(LifeTest):
    def stats(self, vm, query=""):
        return self.server.must(200, "GET", f"/vms/{vm}/stats{query}")

    def measured(self, vm):
        return wait_until(lambda: self.stats(vm).get("now"), f"{vm} is measured", 60)

    def test_history_of_clones(self):
        self.server.start()
        begun = int(time.time()) - 1
        for name in ("a", "b"):
            self.server.create(name)
        self.server.run("a", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
        seen = [self.measured(name) for name in ("a", "b")]
        for now in seen:
            self.assertLessEqual(now["memory_private_bytes"], now["memory_pss_bytes"])
            self.assertLess(now["memory_pss_bytes"], now["memory_rss_bytes"], "the template is counted once")
            self.assertGreater(now["memory_private_bytes"], 0)
            self.assertGreater(now["disk_used_bytes"], 0)
        wait_until(lambda: len(self.stats("a")["samples"]) > 1, "there is a history", 60)
        found = self.stats("a", f"?since={begun}")
        self.assertEqual(5, found["step_s"])
        times = [s["at"] for s in found["samples"]]
        self.assertEqual(sorted(set(times)), times)
        self.assertGreaterEqual(found["peak"]["memory_rss_bytes"], found["samples"][0]["memory_rss_bytes"])
        self.assertEqual([], self.stats("a", f"?since={int(time.time()) + 60}")["samples"])
        self.assertEqual(60, self.stats("a", "?since=0")["step_s"])
        self.server.must(422, "GET", "/vms/a/stats?since=yesterday")
        self.server.must(404, "GET", "/vms/c/stats")
        self.server.must(201, "POST", "/vms/a/forwards", {"guest_port": 80})
        listed = {item["vm"]: item for item in self.server.must(200, "GET", "/stats")["items"]}
        ids = {name: self.server.must(200, "GET", f"/vms/{name}")["id"] for name in ("a", "b")}
        self.assertEqual(set(ids.values()), set(listed))
        self.assertGreater(listed[ids["a"]]["now"]["memory_rss_bytes"], 0)
        self.assertEqual([80], [f["guest_port"] for f in listed[ids["a"]]["forwards"]])
        self.assertGreater(listed[ids["a"]]["active"], found["samples"][0]["at"][:4])
        self.assertEqual([], listed[ids["b"]]["forwards"])
        # What was measured stays while the VM does.
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.assertEqual([ids["b"]], [i["vm"] for i in self.server.must(200, "GET", "/stats")["items"]])
        found = self.stats("a", f"?since={begun}")
        self.assertNotIn("now", found)
        self.assertTrue(found["samples"])
        for name in ("a", "b"):
            self.server.delete(name)
        self.assert_nothing_left()

    def test_history_of_the_host(self):
        self.server.start()

        def history(query=""):
            return self.server.must(200, "GET", f"/host/history{query}")

        # Whoever asks has it measured, also without a VM.
        history()
        first = wait_until(lambda: history()["samples"], "the host is measured", 30)[0]
        self.assertEqual(0, first["vms_running"])
        self.assertNotIn("cpu", first, "nothing was measured before")
        self.assertGreater(first["memory_used_bytes"], 0)
        free = self.server.must(200, "GET", "/host")["disk"]["free_bytes"]
        self.assertLess(abs(first["disk_free_bytes"] - free), 8 << 30, "as /host counts it")
        self.server.create("a")
        self.server.run("a", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
        self.measured("a")
        wait_until(lambda: history()["samples"][-1]["vms_running"] == 1, "the VM is counted", 60)
        found = history(f"?since={int(time.time()) - 300}")
        self.assertEqual(5, found["step_s"])
        times = [s["at"] for s in found["samples"]]
        self.assertEqual(sorted(set(times)), times)
        last = found["samples"][-1]
        self.assertGreater(last["vms_memory_bytes"], 0)
        self.assertTrue(any(s.get("cpu", 0) > 0 for s in found["samples"]), found)
        minutes = history("?since=0")
        self.assertEqual(60, minutes["step_s"])
        self.assertTrue(minutes["samples"])
        self.assertEqual([], history(f"?since={int(time.time()) + 60}")["samples"])
        self.server.must(422, "GET", "/host/history?since=yesterday")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_guest_says_how_it_is(self):
        self.server.start()
        self.server.create("a")
        self.assertNotIn("guest", self.stats("a"))
        guest = self.stats("a", "?guest=true")["guest"]
        table = subprocess.run([os.environ["BANGER_CLI"], "vm", "stats", "a"], capture_output=True, check=True, text=True,
                               env={**os.environ, "BANGER_SERVER": self.server.socket}).stdout
        self.assertRegex(table, r"(?m)^a .* [0-9.]+ MiB +[0-9.]+$")
        self.assertEqual(1, guest["cpus"])
        self.assertTrue(100 << 20 > guest["memory_total_bytes"] > guest["memory_available_bytes"] > 0, guest)
        self.assertTrue(64 << 20 >= guest["disk_total_bytes"] > guest["disk_free_bytes"] > 0, guest)
        self.assertEqual(3, len(guest["load"]))
        self.assertIn("lo", [n["name"] for n in guest["networks"]])
        self.assertGreater(guest["processes"], 0)
        self.server.run("a", "dd", "if=/dev/zero", "of=/root/fill", "bs=1M", "count=8")
        later = self.stats("a", "?guest=true")["guest"]
        self.assertLess(later["disk_free_bytes"], guest["disk_free_bytes"])
        self.assertGreater(later["cpu_busy_us"] + later["cpu_idle_us"], guest["cpu_busy_us"] + guest["cpu_idle_us"])
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        found = self.stats("a", "?guest=true")
        self.assertNotIn("guest", found)
        self.assertNotIn("guest_error", found)
        # One that stands still without a word: the host's figures come all the same.
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        pid = next(iter(self.server.vmms()))
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.assertIn("in time", self.stats("a", "?guest=true")["guest_error"])
        os.kill(pid, signal.SIGCONT)

    def test_the_network_is_counted(self):
        self.server.start()
        if self.server.must(200, "GET", "/capabilities")["default_network"] != "user":
            self.skipTest("no user-mode network here")
        for name, network in (("a", "user"), ("b", "none")):
            self.server.create(name, network=network, boot="cold")
        self.assertIsNone(self.measured("b")["net_rx_bytes"])
        before = self.measured("a")
        self.server.run("a", "sh", "-c", "ping -c 5 -W 1 -s 1000 10.0.2.2; true")

        def grown():
            now = self.stats("a")["now"]
            return now if now["net_tx_packets"] > before["net_tx_packets"] else None

        now = wait_until(grown, "what is sent is counted", 30)
        self.assertGreater(now["net_tx_bytes"] - before["net_tx_bytes"], 40)
        self.assertGreater(now["net_rx_packets"], 0)
        metrics = self.server.call("GET", "/metrics").body.decode()
        self.assertIn('banger_vm_network_transmit_bytes_total{vm="a"} ', metrics)
        self.assertNotIn('{vm="b"}', metrics)
        # Another server goes on with them.
        self.server.kill()
        self.server.start()
        self.assertGreaterEqual(self.measured("a")["net_tx_bytes"], now["net_tx_bytes"])
        for name in ("a", "b"):
            self.server.delete(name)
        self.assert_nothing_left()

    def test_a_nearly_full_disk_pauses_those_who_run(self):
        self.server.start()
        for name in ("a", "b"):
            self.server.create(name)
        self.server.must(200, "POST", "/vms/b/pause", wait=60)
        self.server.stop()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write("[vms]\ndisk_reserve_mib = 16777216\n")
        self.server.start()
        wait_until(lambda: self.server.state("a") == "paused", "the VM is held back", 60)
        self.assertIn("disk is nearly full", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.stop()
        os.unlink(f"{self.home}/config/banger.conf")
        self.server.start()
        wait_until(lambda: self.server.state("a") == "running", "the VM goes on", 60)
        self.assertEqual("paused", self.server.state("b"), "somebody wanted that")
        self.server.run("a", "true")
        for name in ("a", "b"):
            self.server.delete(name)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
