# SPDX-License-Identifier: Apache-2.0
"""The clock of a guest is right."""
import os
import time
import unittest

from harness import LifeTest, wait_until


class Clocks(LifeTest):
    def off_ms(self, vm):
        return abs(self.server.must(200, "GET", f"/vms/{vm}/stats?guest=true")["guest"]["clock_off_ms"])

    def test_clocks_are_right_however_a_guest_came_to_run(self):
        self.server.start()
        self.server.create("a")
        self.server.create("cold", boot="cold")
        for vm in ("a", "cold"):
            self.assertLess(self.off_ms(vm), 200, vm)
        for away, back in (("suspend", "resume"), ("pause", "resume")):
            self.server.must(200, "POST", f"/vms/a/{away}", wait=100)
            time.sleep(2)
            self.server.must(200, "POST", f"/vms/a/{back}", wait=100)
            self.assertLess(self.off_ms("a"), 200, away)
        snapshot = self.server.must(201, "POST", "/vms/a/snapshots", {}, wait=100)["id"]
        self.assertLess(self.off_ms("a"), 200)
        time.sleep(1)
        self.server.must(200, "POST", "/vms/a/restore", {"snapshot": snapshot}, wait=100)
        self.assertLess(self.off_ms("a"), 200)
        # And every so often, also by a server that found the VM running.
        self.server.stop()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="utf-8") as f:
            f.write("[vms]\nclock_s = 1\n")
        self.server.start()
        self.server.run("a", "date", "-s", "2001-02-03 04:05:06")
        wait_until(lambda: self.off_ms("a") < 200, "the clock is right again", 30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
