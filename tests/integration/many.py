# SPDX-License-Identifier: Apache-2.0
"""Many clones at once: each a machine of its own, none of them large. usage: many.py [--count N] [--network user]

They are made from a snapshot of a VM that has SSH host keys.
"""
import argparse
import concurrent.futures
import statistics
import sys
import time

from harness import SHAPE, base_server

KEYGEN = "/usr/bin/ssh-keygen"
KEY = "/etc/ssh/ssh_host_ed25519_key"
# The first thing that anybody runs in a clone.
LOOK = "od -An -tx1 -N32 /dev/urandom | tr -d ' \\n'; echo; cat /etc/machine-id /proc/sys/kernel/random/boot_id; hostname; " \
       f"cut -d' ' -f2 {KEY}.pub; cat /sys/class/net/eth0/address 2>/dev/null || echo none"
FIELDS = ("random", "machine_id", "boot_id", "hostname", "host_key", "mac")


def private_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Dirty", "Private_Clean"))) / 1024


def one(server, i, snapshot):
    vm = server.must(201, "POST", "/vms", {"name": f"c{i}", "from_snapshot": snapshot}, wait=240)
    said = server.run(f"c{i}", "sh", "-c", LOOK)
    seen = dict(zip(FIELDS, said.split("\n")))
    if not seen.get("mac"):
        raise AssertionError(said)
    seen["off_ms"] = abs(server.must(200, "GET", f"/vms/c{i}/stats?guest=true")["guest"]["clock_off_ms"])
    seen["booted_from"] = vm["booted_from"]
    return seen


def with_host_keys(server, shape):
    """The id of a snapshot of a VM that has them, as every VM with an SSH server."""
    server.must(201, "POST", "/vms", {"name": "first", "image": "mini", **shape}, wait=240)
    server.give("first", KEYGEN)
    server.run("first", "mkdir", "-p", "/etc/ssh")
    server.run("first", KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    snapshot = server.must(201, "POST", "/vms/first/snapshots", {"name": "keys"}, wait=240)
    server.delete("first")
    return snapshot["id"]


def check(seen, count, network):
    wrong = []
    for field in FIELDS if network != "none" else FIELDS[:-1]:
        values = {one[field] for one in seen}
        if len(values) != count:
            wrong.append(f"{field}: {len(values)} different ones in {count} clones")
    if max(one["off_ms"] for one in seen) >= 1000:
        wrong.append("a clock is a second off")
    if any(one["booted_from"] == "cold" for one in seen):
        wrong.append("some were booted, not restored")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--network", default="none")
    options = parser.parse_args()
    with base_server() as server:
        snapshot = with_host_keys(server, {**SHAPE, "network": options.network, "nat": False})
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            seen = list(pool.map(lambda i: one(server, i, snapshot), range(options.count)))
        wall = time.monotonic() - begun
        memory = [private_mib(pid) for pid, line in server.vmms().items() if "qemu" in line]
        wrong = check(seen, options.count, options.network)
        print(f"{options.count} clones, {options.at_once} at a time: {wall:.1f} s; private memory {statistics.median(memory):.1f} MiB, "
              f"at most {max(memory):.1f}; clocks at most {max(s['off_ms'] for s in seen)} ms off")
        for i in range(options.count):
            server.delete(f"c{i}")
        server.must(204, "DELETE", f"/snapshots/{snapshot}")
        if server.leftovers():
            wrong.append(f"left behind: {server.leftovers()}")
    print("\n".join(wrong) or "all different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
