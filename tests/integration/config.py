# SPDX-License-Identifier: Apache-2.0
"""banger.conf: what it sets, what it refuses and on which line, and what the limits then do."""
import os
import subprocess
import unittest

from harness import AGENT, SERVER, SHAPE, LifeTest


class Config(LifeTest):
    def write(self, text):
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="utf-8") as f:
            f.write(text)

    def values(self):
        items = self.server.must(200, "GET", "/config")["items"]
        return {f"{i['section']}.{i['key']}": (i["value"], i["source"]) for i in items}

    def test_values_and_where_they_came_from(self):
        self.write("# a comment\n[vms]\nmemory_mib = 96\nmax = 3\n\n[server]\nlog_level = debug\n")
        self.server.start(["--log-level", "warn"])
        values = self.values()
        self.assertEqual((96, "config"), values["vms.memory_mib"])
        self.assertEqual((1, "builtin"), values["vms.vcpus"])
        self.assertEqual(("warn", "option"), values["server.log_level"])
        self.assertEqual(("off", "option"), values["server.listen"])
        items = {f"{i['section']}.{i['key']}": i for i in self.server.must(200, "GET", "/config")["items"]}
        self.assertEqual((1, 64), (items["vms.vcpus"]["min"], items["vms.vcpus"]["max"]))
        self.assertEqual(["error", "warn", "info", "debug"], items["server.log_level"]["allowed"])
        self.assertFalse({"min", "max", "allowed"} & set(items["server.listen"]))
        for key, item in items.items():
            if "min" in item:
                self.assertLessEqual(item["min"], item["value"], key)
                self.assertLessEqual(item["value"], item["max"], key)
            elif "allowed" in item:
                self.assertIn(item["value"], item["allowed"], key)
        vm = self.server.must(201, "POST", "/vms", {"image": "mini", "start": False})
        self.assertEqual(96, vm["memory_mib"])
        rows = {c["name"]: c for c in self.server.must(200, "GET", "/doctor")["checks"]}
        self.assertEqual("pass", rows["vm defaults"]["status"])
        self.assertIn("config", rows["vm defaults"]["detail"])
        for _ in range(2):
            self.server.must(201, "POST", "/vms", {"image": "mini", "start": False})
        problem = self.server.must(507, "POST", "/vms", {"image": "mini", "start": False})
        self.assertIn("3", problem["detail"])

    def test_refusals_name_the_line(self):
        cases = [
            ("[vms]\nmemory_mib = 96\nmemroy = 1\n", ":3:", "memroy"),
            ("[vm]\nmax = 1\n", ":2:", "[vm]"),
            ("[vms]\nmax = many\n", ":2:", "whole number"),
            ("[vms]\n\n\nvcpus = 0\n", ":4:", "between 1 and 64"),
            ("[vms]\ndisk_mib = 16777216\n", ":2:", "between 16 and 16777215"),
            ("[server]\nlog_level = loud\n", ":2:", "debug"),
            ("[guest]\nauthorized_keys = keys\n", ":2:", "absolute"),
            ("[file_sync]\nnotes = ~/notes\n", ":2:", "notes"),
            ("[file_sync]\n~other/notes = ~/notes\n", ":2:", "~other"),
            ("[file_sync]\n~/a/../b = ~/b\n", ":2:", "'..'"),
            ("[file_sync]\n~/a = ~/a\n~/b = /etc/b\n", ":3:", "/etc/b"),
            ("[file_sync]\n~/a = /root/../etc/a\n", ":2:", "'..'"),
            ("[file_sync]\n~/a = ~/\n", ":2:", "below ~"),
            ("[file_sync]\n~/a =\n", ":2:", "below ~"),
            ("[file_sync]\n~/a = ~/a 0999\n", ":2:", "octal"),
            ("[vms]\nnonsense\n", ":2:", "key = value"),
            ("[vms\nmax = 5\n", ":1:", "no ']'"),
            ("[vms]\nmax = 5\n\n[server\nlog_level = warn\n", ":4:", "no ']'"),
            ("[vms]\nnonsense\nmax = many\n", ":2:", "key = value"),
            ("[vms]\nmax = 5\nvcpus = 2\nmax = 6\n", ":4:", "twice"),
            # What inih takes for the rest of the line above.
            ("[images]\ninsecure_registries = a.example\n  b.example\n", ":3:", "twice"),
            ("; " + "x" * 500 + "\n# " + "y = " * 100 + "\n[vms]\nmaxx = 6\n", ":4:", "maxx"),
            ("[vms]\nmax = 5" + " " * 300 + "\n", ":2:", "longer than"),
            ("[server]\nlisten = nowhere\n", "server.listen", "HOST:PORT"),
        ]
        for text, where, word in cases:
            with self.subTest(text=text):
                self.write(text)
                done = subprocess.run([SERVER, "--home", self.home, "--agent", AGENT], capture_output=True, text=True,
                                      timeout=30, check=False, stdin=subprocess.DEVNULL)
                self.assertNotEqual(0, done.returncode)
                self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
                self.assertIn(where, done.stderr)
                self.assertIn(word, done.stderr)

    def test_options_are_not_abbreviated(self):
        for given in (["--hom", self.home], ["--home", self.home, "--no-t"], ["--hom=" + self.home], ["--no-tcp", "--"],
                      ["--home", "--no-tcp", "--nope"]):
            done = subprocess.run([SERVER, *given, "--version"], capture_output=True, text=True, timeout=30, check=False,
                                  stdin=subprocess.DEVNULL)
            self.assertEqual(2, done.returncode, given)
            self.assertTrue(done.stderr, given)

    def test_memory_is_promised_up_to_the_limit(self):
        self.write("[vms]\nmemory_overcommit_percent = 10\n")
        self.server.start()
        with open("/proc/meminfo", encoding="ascii") as f:
            host_mib = int(f.readline().split()[1]) // 1024
        large = {**SHAPE, "image": "mini", "memory_mib": host_mib // 10 + 64}
        problem = self.server.must(507, "POST", "/vms", large)
        self.assertIn("promised", problem["detail"])
        vm = self.server.must(201, "POST", "/vms", {**large, "start": False})
        self.server.must(507, "POST", f"/vms/{vm['id']}/start")
        self.assertEqual("created", self.server.state(vm["id"]))
        self.server.delete(vm["id"])
        self.assert_nothing_left()

    def test_memory_is_not_promised_twice_to_starts_at_once(self):
        self.write("[vms]\nmemory_overcommit_percent = 10\n")
        self.server.start()
        limit_mib = self.server.must(200, "GET", "/host")["memory"]["limit_bytes"] >> 20
        names = ["a", "b", "c"]
        for name in names:
            self.server.must(201, "POST", "/vms", {"name": name, "image": "mini", **SHAPE, "start": False,
                                                   "memory_mib": limit_mib * 6 // 10})
        results = self.server.must(200, "POST", "/vms/actions", {"action": "start", "vms": names}, wait=240)["results"]
        self.assertEqual(["failed", "failed", "succeeded"], sorted(r["state"] for r in results), results)
        for result in results:
            if result["state"] == "failed":
                self.assertEqual(507, result["error"]["status"])
                self.assertIn(f"of {limit_mib} MiB", result["error"]["detail"])
                self.assertEqual("created", self.server.state(result["vm"]))
        self.server.must(200, "POST", "/vms/actions", {"action": "delete", "vms": names}, wait=60)
        self.assert_nothing_left()

    def test_disk_reserve(self):
        self.write("[vms]\ndisk_reserve_mib = 16777216\n")
        self.server.start()
        problem = self.server.must(507, "POST", "/vms", {"image": "mini", **SHAPE})
        self.assertIn("reserve", problem["detail"])
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
