# SPDX-License-Identifier: Apache-2.0
"""Many clones at once: each a machine of its own, none of them large. usage: many.py [--count N]"""
import argparse
import concurrent.futures
import statistics
import sys
import time

from harness import SHAPE, base_server

# The first thing that anybody runs in a clone.
LOOK = "od -An -tx1 -N32 /dev/urandom | tr -d ' \\n'; echo; cat /etc/machine-id /proc/sys/kernel/random/boot_id; hostname; " \
       "cat /sys/class/net/eth0/address 2>/dev/null || echo none"
FIELDS = ("random", "machine_id", "boot_id", "hostname", "mac")


def private_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Dirty", "Private_Clean"))) / 1024


def one(server, i, shape):
    vm = server.must(201, "POST", "/vms", {"name": f"c{i}", "image": "mini", **shape}, wait=240)
    said = server.run(f"c{i}", "sh", "-c", LOOK)
    seen = dict(zip(FIELDS, said.split("\n")))
    if not seen.get("mac"):
        raise AssertionError(said)
    seen["off_ms"] = abs(server.must(200, "GET", f"/vms/c{i}/stats?guest=true")["guest"]["clock_off_ms"])
    seen["template"] = vm["booted_from"]
    return seen


def check(seen, count, network):
    wrong = []
    for field in ("random", "machine_id", "boot_id", "hostname") + (("mac",) if network != "none" else ()):
        values = {one[field] for one in seen}
        if len(values) != count:
            wrong.append(f"{field}: {len(values)} different ones in {count} clones")
    if max(one["off_ms"] for one in seen) >= 1000:
        wrong.append("a clock is a second off")
    if any(one["template"] == "cold" for one in seen):
        wrong.append("some were booted, not restored")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--network", default="none")
    options = parser.parse_args()
    shape = {**SHAPE, "network": options.network, "nat": False}
    with base_server() as server:
        if options.network != "none":
            server.must(201, "POST", "/vms", {"name": "first", "image": "mini", **shape}, wait=240)
            while not [t for t in server.must(200, "GET", "/templates")["items"] if t["network"] == options.network]:
                time.sleep(0.5)
            server.delete("first")
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            seen = list(pool.map(lambda i: one(server, i, shape), range(options.count)))
        wall = time.monotonic() - begun
        memory = [private_mib(pid) for pid, line in server.vmms().items() if "qemu" in line]
        wrong = check(seen, options.count, options.network)
        print(f"{options.count} clones, {options.at_once} at a time: {wall:.1f} s; private memory {statistics.median(memory):.1f} MiB, "
              f"at most {max(memory):.1f}; clocks at most {max(s['off_ms'] for s in seen)} ms off")
        for i in range(options.count):
            server.delete(f"c{i}")
        if server.leftovers():
            wrong.append(f"left behind: {server.leftovers()}")
    print("\n".join(wrong) or "all different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
