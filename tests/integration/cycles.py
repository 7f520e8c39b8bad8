# SPDX-License-Identifier: Apache-2.0
"""A clone is made, runs a command and is deleted, many times over: nothing of it stays. usage: cycles.py [--count N]"""
import argparse
import concurrent.futures
import os
import sys
import time

from harness import base_server

# The first ones fill caches, pools, and the list of the last 512 operations that the server has in memory: two of each cycle.
WARM = 280
# What the server may have gained since then, however many there were. Its history of operations and events is in the database.
GAIN_KIB = 2048


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def tree(server):
    """Files and folders of the home but those that grow with history, the database, and those of a VM that is kept ready."""
    ready = server.ready()
    found = set()
    for folder, folders, files in os.walk(server.home):
        found.update(os.path.join(folder, name) for name in folders + files
                     if not name.startswith(("state.db", "log")))
    return {path for path in found if not any(vm in path for vm in ready)}


def seen(server):
    return {"files": tree(server), "descriptors": server.descriptors(), "rss": rss_kib(server.process.pid),
            "shm": set(os.listdir("/dev/shm"))}


def cycle(server, i):
    name = f"cycle-{i}"
    vm = server.create(name)
    if vm["booted_from"] == "cold":
        raise AssertionError(f"{name} was booted, not restored")
    if server.run(name, "hostname") != f"{name}\n":
        raise AssertionError(f"{name} says another name")
    server.delete(name)


def differences(before, after):
    wrong = [f"new: {path}" for path in sorted(after["files"] - before["files"])[:10]]
    wrong += [f"shared memory: {name}" for name in after["shm"] - before["shm"] if name.startswith("banger")]
    if after["descriptors"] > before["descriptors"]:
        wrong.append(f"descriptors: {before['descriptors']}, then {after['descriptors']}")
    if not os.environ.get("BANGER_SANITIZED") and after["rss"] > before["rss"] + GAIN_KIB:
        wrong.append(f"memory of the server: {before['rss']} KiB, then {after['rss']}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    with base_server() as server:
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(lambda i: cycle(server, i), range(WARM)))
            before, begun = seen(server), time.monotonic()
            list(pool.map(lambda i: cycle(server, WARM + i), range(options.count)))
        took, after = time.monotonic() - begun, seen(server)
        wrong = differences(before, after) + [f"left behind: {what}" for what in server.leftovers()]
        print(f"{options.count} cycles, {options.at_once} at a time: {took:.0f} s; server {before['rss']} KiB, then {after['rss']}; "
              f"{after['descriptors']} descriptors")
    print("\n".join(wrong) or "nothing left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
