# SPDX-License-Identifier: Apache-2.0
"""1,000 stopped VMs: ready, the list of them, beside one nginx worker with the same bytes as a file."""
import os
import sqlite3
import time

import machine
from figures import Beside, Failed, Figure, Skipped, at_least_times, at_most, beside, figure
from server import Connection

SCALE = 1000


def requests_per_s(path, target, seconds=2):
    """Of one client that takes all of each reply."""
    connection = Connection(path)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.request("GET", target)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise Failed(f"GET {target} at {path}: {reply.status} {body[:2000]!r}")
        count += 1
    connection.close()
    return count / seconds, body


def stop_for_good(server, names):
    """As VMs are that ran once; nobody waits for a thousand boots."""
    machine.stop(server.process)
    db = sqlite3.connect(f"{server.home}/state/state.db")
    db.execute("UPDATE vms SET state = 'stopped', desired = 'stopped', started_ms = created_ms, booted_from = 'cold' "
               "WHERE name LIKE 'scale%'")
    db.commit()
    ids = [row[0] for row in db.execute("SELECT id FROM vms WHERE name LIKE 'scale%'")]
    db.close()
    assert len(ids) == len(names)
    for vm in ids:
        os.makedirs(f"{server.home}/state/vms/{vm}", exist_ok=True)
        with open(f"{server.home}/state/vms/{vm}/work.ext4", "wb") as f:
            f.truncate(1 << 20)


def measure(server, rounds):
    server.restart()
    empty = machine.rollup_kib(server.process.pid)["Rss"]
    names = [f"scale{i:04}" for i in range(SCALE)]
    for i, name in enumerate(names):
        server.create(name, start=False, labels={"team": "bench", "number": str(i)})
    stop_for_good(server, names)
    yield figure(f"{SCALE} stopped VMs: ready after exec", [server.restart() for _ in range(rounds)], "ms", goal=at_most(200))
    target, ours, theirs = f"/vms?limit={SCALE}", [], []
    fresh = machine.rollup_kib(server.process.pid)["Rss"]
    _, body = requests_per_s(server.socket, target, 0.5)
    with machine.nginx("/vms", body) as (path, _):
        for _ in range(rounds):
            ours.append(requests_per_s(server.socket, target)[0])
            if path:
                theirs.append(requests_per_s(path, "/vms")[0])
    after = server.rss_kib()
    for name in names:
        server.delete(name)
    if not theirs:
        yield Skipped("the list beside nginx", "nginx is not installed (Debian package nginx-light)")
    yield figure(f"GET {target}, {len(body) / 1024:.0f} KiB", ours, "/s",
                 [beside("one nginx worker, the same bytes as a file", theirs)] if theirs else [], goal=at_least_times(0.7))
    yield Figure("server, with them", fresh / 1024, "MiB", [Beside("without a VM, as soon after its start", empty / 1024)])
    yield Figure("memory of a stopped VM", (fresh - empty) / SCALE, "KiB", [Beside("its JSON in the list", len(body) / 1024 / SCALE)],
                 note=f"the server's growth, over {SCALE}")
    yield Figure("server, after the lists", after / 1024, "MiB", goal=at_most(20))
