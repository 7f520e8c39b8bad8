# SPDX-License-Identifier: Apache-2.0
"""Twenty clones at once: wall time beside twenty times what a single one costs, private memory beside that of a booted VM."""
import concurrent.futures
import json
import os
import statistics
import time

import machine
from figures import Beside, Failed, Figure, at_most, at_most_times, beside, figure
from server import SHAPE

COUNT = 20
SMALL = {**SHAPE, "memory_mib": 128}


def call(connection, method, path, body):
    connection.request(method, path, json.dumps(body), {"Prefer": "wait=300", "Content-Type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    if reply.status >= 300:
        raise Failed(f"{method} {path}: {reply.status} {data[:500]!r}")
    return json.loads(data)


def one(server, name, **fields):
    """Its id, and seconds to the end of its first command; on a connection of its own."""
    connection = server.connect()
    begun = time.monotonic()
    vm = call(connection, "POST", "/vms", {**SMALL, "name": name, **fields})
    call(connection, "POST", f"/vms/{name}/exec", {"argv": ["true"]})
    took = time.monotonic() - begun
    connection.close()
    return vm["id"], took


def private_mib(server, vm_id):
    """Of the VMM and what it has started."""
    rollups = [machine.rollup_kib(pid) for pid in machine.processes_below(server.vmm_pid(vm_id))]
    return sum(r["Private_Clean"] + r["Private_Dirty"] for r in rollups) / 1024


def measure(server, rounds):
    server.create("seed20", memory_mib=SMALL["memory_mib"])
    server.wait_for_quiet()
    server.delete("seed20")
    booted, _ = one(server, "booted20", boot="cold")
    whole = private_mib(server, booted)
    server.delete("booted20")
    single, cpu = [], []
    for i in range(max(4, rounds)):
        server.wait_for_quiet()
        before = machine.cpu_s(server.process.pid)
        vm_id, took = one(server, f"single{i}")
        single.append(took)
        cpu.append(sum(machine.cpu_s(pid) for pid in machine.processes_below(server.vmm_pid(vm_id)))
                   + machine.cpu_s(server.process.pid) - before)
        server.delete(f"single{i}")
    server.wait_for_quiet()
    names, begun = [f"many{i:02}" for i in range(COUNT)], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(COUNT) as pool:
        made = list(pool.map(lambda name: one(server, name), names))
    wall = time.monotonic() - begun
    private = [private_mib(server, vm_id) for vm_id, _ in made]
    for name in names:
        server.delete(name)
    yield Figure(f"{COUNT} clones at once, all with a command", wall, "s",
                 [Beside(f"CPU of a single one, {COUNT} times", COUNT * statistics.mean(cpu)),
                  Beside(f"time of a single one, {COUNT} times", COUNT * statistics.median(single))],
                 at_most_times(1.2), note=f"{os.cpu_count()} processors")
    yield figure("the slowest of them", [max(took for _, took in made)], "s", [beside("a single one", single)])
    yield figure("private memory of each", private, "MiB", [Beside("a booted VM of the same shape", whole)], goal=at_most(32))
