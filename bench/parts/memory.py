# SPDX-License-Identifier: Apache-2.0
"""What is resident: the server at rest and after work, the agent, and what each of eight running clones has for itself."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import machine
from figures import Beside, Figure, at_most, figure

CLONES = 8


def idle_server_kib(build):
    fresh = tempfile.mkdtemp(prefix="bgidle-", dir="/tmp")
    process = subprocess.Popen([f"{build}/server/banger-server", "--home", fresh, "--no-tcp"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        return machine.rss_kib(process.pid)
    finally:
        machine.stop(process)
        shutil.rmtree(fresh)


def of_vm(server, vm):
    """MiB that are its VMM's alone, and MiB with what is shared divided by those who share it."""
    rollups = [machine.rollup_kib(pid) for pid in machine.processes_below(server.vmm_pid(vm["id"]))]
    return sum(r["Private_Clean"] + r["Private_Dirty"] for r in rollups) / 1024, sum(r["Pss"] for r in rollups) / 1024


def clones(server):
    server.create("seed8")
    server.wait_for_template()
    server.delete("seed8")
    booted = of_vm(server, server.create("booted8", boot="cold"))
    server.delete("booted8")
    made = [server.create(f"eight{i}") for i in range(CLONES)]
    for vm in made:
        server.execute(vm["name"], "true")
    measured = [of_vm(server, vm) for vm in made]
    for vm in made:
        server.delete(vm["name"])
    for k, what in enumerate(("private", "PSS")):
        yield figure(f"each of {CLONES} running clones, {what}", [one[k] for one in measured], "MiB",
                     [Beside(f"a booted VM of the same shape, {what}", booted[k])], goal=at_most(32) if k == 0 else None)


def measure(server, _rounds):
    yield Figure("server, idle", idle_server_kib(server.build) / 1024, "MiB", goal=at_most(10))
    yield Figure("server, after the parts before", server.rss_kib() / 1024, "MiB")
    server.create("memory")
    # Counted page by page: VmRSS of a process with few page faults is behind.
    rollup = server.execute("memory", "cat", "/proc/1/smaps_rollup")
    server.delete("memory")
    yield Figure("agent, resident", int(re.search(r"Rss:\s+(\d+)", rollup).group(1)) / 1024, "MiB", goal=at_most(2))
    yield Figure("agent, file", os.path.getsize(f"{server.build}/agent/banger-agent") / 1048576, "MiB", goal=at_most(1.5))
    yield from clones(server)
