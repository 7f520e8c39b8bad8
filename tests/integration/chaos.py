# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every stage boundary of every operation, then a restart: nothing lost, doubled or leaked.

The boundaries are what the server itself passes in a run without a crash (see chaos.c), so that a new stage is
covered without being listed here. usage: chaos.py [--rounds N] [--only KIND] ; each round is one crash. With more
rounds than boundaries the later ones die some moments after the boundary.
"""
import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time

import harness
from harness import BASE, SHAPE, Server, clone, end_vmms, prepare, wait_until

TRANSIENT = ("starting", "stopping", "deleting")
SETTLE_S = 240


class Died(Exception):
    pass


def step(server, method, target, body=None, ok=(200, 201, 204)):
    """One call; Died when the server is gone, before or after its answer."""
    try:
        reply = server.raw(method, target, body, {"Prefer": "wait=240"})
    except (OSError, harness.http.client.HTTPException):
        wait_until(lambda: not server.alive(), "the server is dead", 30)
        raise Died from None
    if reply.status not in ok:
        raise AssertionError(f"{method} {target}: {reply}")
    return reply


def verbs(server):
    """A life with every verb that makes an operation."""
    paths = Server.document.document["paths"]

    def can(verb):
        return f"/vms/{{vm}}/{verb}" in paths

    step(server, "POST", "/vms", {"name": "one", "image": "mini", **SHAPE})
    step(server, "POST", "/vms/one/exec", {"argv": ["sh", "-c", "echo kept >/root/f; sync"]})
    if can("pause"):
        step(server, "POST", "/vms/one/pause")
        step(server, "POST", "/vms/one/resume")
    if can("suspend"):
        step(server, "POST", "/vms/one/suspend")
        step(server, "POST", "/vms/one/start")
    if can("snapshots"):
        snapshot = step(server, "POST", "/vms/one/snapshots", {}).json()
        step(server, "POST", "/vms/one/fork", {"count": 1})
        step(server, "POST", "/vms/one/restore", {"snapshot": snapshot["id"]})
        step(server, "DELETE", f"/snapshots/{snapshot['id']}")
    step(server, "POST", "/vms/one/stop")
    step(server, "POST", "/vms/one/start")
    step(server, "POST", "/vms/one/restart")
    step(server, "POST", "/vms/one/kill")
    step(server, "DELETE", "/vms/one")


def capture(server):
    """A cold boot of a new shape, and the template that it leaves."""
    vm = step(server, "POST", "/vms", {"name": "two", "image": "mini", **SHAPE, "memory_mib": 112}).json()

    def built():
        if not server.alive():
            raise Died
        try:
            items = server.raw("GET", "/operations").json()["items"]
        except OSError:
            return False
        # Not the one that made the base.
        return [o for o in items if o["kind"] == "template.build" and o["created"] > vm["created"]
                and o["state"] not in ("queued", "running")]

    wait_until(built, "the template is built", 240, 0.2)
    step(server, "DELETE", "/vms/two")


def standby(server):
    """The VM that is kept ready, taken by the next one."""
    step(server, "POST", "/vms", {"name": "one", "image": "mini", **SHAPE})

    def ready():
        if not server.alive():
            raise Died
        try:
            return [t for t in server.raw("GET", "/templates").json()["items"] if t["standby"]]
        except OSError:
            return False

    kept = wait_until(ready, "a VM is kept ready", 60)[0]["standby"]
    vm = step(server, "POST", "/vms", {"name": "two", "image": "mini", **SHAPE}).json()
    if vm["id"] != kept:
        raise AssertionError(f"{vm['id']} is not {kept}, which was ready")
    step(server, "POST", "/vms/two/exec", {"argv": ["hostname"]})
    step(server, "DELETE", "/vms/two")


SCENARIOS = {"verbs": verbs, "capture": capture, "standby": standby}


def play(name, server):
    """The scenario, and the end of what it leaves: those boundaries count too."""
    SCENARIOS[name](server)
    try:
        left = server.names()
    except (OSError, harness.http.client.HTTPException):
        wait_until(lambda: not server.alive(), "the server is dead", 30)
        raise Died from None
    for vm in left:
        step(server, "DELETE", f"/vms/{vm}")


class Round:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="bgc-", dir="/tmp")
        clone(f"{BASE}/home", self.home)
        self.server = Server(self.home)
        self.trace = f"{self.home}/boundaries"

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.server.alive():
            self.server.kill()
        end_vmms(self.server)
        if kind is None:
            shutil.rmtree(self.home, ignore_errors=True)
        else:
            print(f"  kept: {self.home}", flush=True)

    def boundaries(self):
        with open(self.trace, encoding="ascii") as f:
            return [line.strip() for line in f]


def enumerate_boundaries(name):
    with Round() as r:
        r.server.start(extra_env={"BANGER_CHAOS_LOG": r.trace})
        play(name, r.server)
        check_empty(r.server)
        r.server.stop()
        seen = {}
        points = []
        for line in r.boundaries():
            seen[line] = seen.get(line, 0) + 1
            points.append((name, line, seen[line]))
        return points


def accepted_vms(server):
    """Names of the VMs that the rows know, from before the restart."""
    import contextlib
    import sqlite3
    with contextlib.closing(sqlite3.connect(f"file:{server.home}/state/state.db?mode=ro", uri=True)) as db:
        return sorted(row[0] for row in db.execute("SELECT name FROM vms WHERE state != 'deleting'"))


def stray_files(home):
    found = []
    for folder, folders, files in os.walk(home):
        found += [os.path.join(folder, f) for f in files + folders if f.endswith((".tmp", ".gone", ".part"))]
    templates = f"{home}/state/templates"
    if os.path.isdir(templates):
        found += [f"{templates}/{t}" for t in os.listdir(templates) if not re.fullmatch("[0-9a-f]{32}", t)]
    return found


def check_empty(server):
    for vm in server.names():
        server.delete(vm)
    paths = Server.document.document["paths"]
    if "/snapshots" in paths:
        for snapshot in server.must(200, "GET", "/snapshots")["items"]:
            server.must(204, "DELETE", f"/snapshots/{snapshot['id']}")
    wait_until(lambda: not [o for o in server.must(200, "GET", "/operations")["items"]
                            if o["state"] in ("queued", "running")], "all operations end", SETTLE_S)
    try:
        wait_until(lambda: not server.leftovers(), "nothing is left", 20)
    except AssertionError:
        raise AssertionError(f"left behind: {server.leftovers()}") from None
    stray = stray_files(server.home)
    if stray:
        raise AssertionError(f"half-made files: {stray}")


def check_after_crash(server, before, deep):
    def settled():
        items = server.must(200, "GET", "/vms?limit=1000")["items"]
        # The server takes up again what it can: a VM that has an operation is on its way somewhere.
        return None if [v for v in items if v["state"] in TRANSIENT or "operation" in v] else (items,)

    vms, = wait_until(settled, "no VM is between two states", SETTLE_S)
    names = sorted(v["name"] for v in vms)
    if len(set(names)) != len(names):
        raise AssertionError(f"doubled: {names}")
    if not set(before) <= set(names) or not set(names) <= set(before):
        raise AssertionError(f"before the restart {before}, after it {names}")
    running = [v for v in vms if v["state"] in ("running", "paused")]
    processes = {pid: line for pid, line in server.vmms().items() if "qemu" in line}
    wait_until(lambda: len([line for line in server.vmms().values() if "qemu" in line]) == len(running),
               f"one VMM for each of {len(running)} running VMs, there are {processes}", 20)
    for vm in running:
        if vm["state"] == "paused":
            server.must(200, "POST", f"/vms/{vm['name']}/resume", wait=60)
        if server.run(vm["name"], "hostname").strip() != vm["name"]:
            raise AssertionError(f"{vm['name']} is somebody else")
    for vm in vms:
        if vm in running or not deep:
            continue
        if vm["state"] in ("created", "stopped", "failed", "suspended"):
            server.must(200, "POST", f"/vms/{vm['name']}/start", wait=240)
            server.run(vm["name"], "sh", "-c", "touch /root/w && rm /root/w")


def crash(scenario, boundary, nth, delay_ms, deep):
    with Round() as r:
        r.server.start(extra_env={"BANGER_CHAOS_LOG": r.trace, "BANGER_CHAOS_AT": boundary,
                                  "BANGER_CHAOS_NTH": str(nth), "BANGER_CHAOS_DELAY_MS": str(delay_ms)})
        try:
            play(scenario, r.server)
            # The last boundary is passed after the answer, or the delay was longer than the scenario.
            wait_until(lambda: not r.server.alive(), "the server is dead", 30 + delay_ms / 1000)
        except Died:
            pass
        r.server.killed = True
        before = accepted_vms(r.server)
        r.server.start()
        check_after_crash(r.server, before, deep)
        check_empty(r.server)
        r.server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first rounds of the plan of this seed")
    parser.add_argument("--only", default="", help="boundaries that contain this")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), action="append")
    options = parser.parse_args()
    random.seed(options.seed)
    prepare()
    points = []
    for scenario in options.scenario or SCENARIOS:
        points += enumerate_boundaries(scenario)
    points = [p for p in points if options.only in p[1]]
    kinds = sorted({p[1] for p in points})
    print(f"{len(points)} boundaries, {len(kinds)} of them different: {', '.join(kinds)}; seed {options.seed}",
          flush=True)
    # Each different one before any is taken twice.
    firsts = [next(p for p in points if p[1] == kind) for kind in kinds]
    random.shuffle(firsts)
    rest = [p for p in points if p not in firsts]
    random.shuffle(rest)
    plan = [(p, 0) for p in firsts + rest]
    wanted = options.skip + options.rounds
    while len(plan) < wanted:
        plan.append((random.choice(points), random.randrange(1, 200)))
    failures = []
    for i, ((scenario, boundary, nth), delay) in list(enumerate(plan[:wanted]))[options.skip:]:
        begun = time.monotonic()
        result = "ok"
        try:
            crash(scenario, boundary, nth, delay, deep=True)
        except (AssertionError, OSError, harness.http.client.HTTPException) as e:
            result = f"FAILED {e}"
            failures.append((boundary, nth, delay, e))
        print(f"{i + 1:3} {scenario}: {boundary} #{nth} +{delay} ms: {result} ({time.monotonic() - begun:.1f} s)",
              flush=True)
    print(f"{options.rounds - len(failures)} rounds ok, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
