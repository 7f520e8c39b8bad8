# SPDX-License-Identifier: Apache-2.0
"""A server with nothing to do does nothing, and memory does not grow with use."""
import os
import shutil
import subprocess
import time
import unittest

from harness import LifeTest

WATCHED_S = 5
CYCLES = 50


class Quiet(LifeTest):
    def rss_kib(self):
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_idle_server_makes_no_system_call(self):
        self.server.start()
        trace = f"{self.home}/trace"
        with subprocess.Popen(["strace", "-f", "-o", trace, "-p", str(self.server.process.pid)],
                              stderr=subprocess.PIPE) as strace:
            line = strace.stderr.readline()
            if b"ttached" not in line:
                strace.kill()
                self.skipTest(line.decode().strip())
            time.sleep(WATCHED_S)
            strace.terminate()
        with open(trace, encoding="utf-8") as f:
            calls = [line for line in f if "resumed>" not in line and "<unfinished" not in line
                     and "<detached" not in line and "= ? ERESTART" not in line]
        self.assertEqual([], calls)

    @unittest.skipIf("asan" in os.environ["BANGER_BASE"] or "tsan" in os.environ["BANGER_BASE"],
                     "a sanitizer's own memory grows")
    def test_memory_is_flat_over_create_and_delete(self):
        self.server.start()

        def cycle(i):
            self.server.create(f"m{i}")
            self.server.run(f"m{i}", "true")
            self.server.delete(f"m{i}")

        for i in range(10):
            cycle(i)
        before, descriptors = self.rss_kib(), self.server.descriptors()
        for i in range(10, 10 + CYCLES):
            cycle(i)
        # Ended operations are kept, up to a number: a few KiB a cycle until then.
        self.assertLess(self.rss_kib() - before, 1536)
        # One may be open for a moment, such as a log's; a leak stays.
        deadline = time.monotonic() + 5
        while self.server.descriptors() > descriptors and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertLessEqual(self.server.descriptors(), descriptors)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
