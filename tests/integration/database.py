# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL under load while its VM is suspended, snapshotted, forked and put back: no committed row may be lost,
no page be damaged. Long: ctest -L database. usage: database.py [--rounds N] [--rootfs TAR]

Without --rootfs the root file system is made by mmdebstrap, once, beside the other tests' base.
"""
import argparse
import os
import signal
import subprocess
import sys
import time

from harness import BASE, base_server

PACKAGES = "postgresql,postgresql-contrib,procps"
SHAPE = {"image": "postgres", "vcpus": 1, "memory_mib": 384, "disk_mib": 1024, "network": "none", "init": "agent"}
SETUP = """
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin)
ln -sfn $bin /opt/pg
export PATH=$bin:$PATH PGDATA=/var/lib/postgresql/bench
mkdir -p /run/postgresql && chown postgres /run/postgresql
su postgres -c "$bin/initdb -k -A trust -D $PGDATA >/dev/null"
printf "shared_buffers=24MB\\nautovacuum=on\\nautovacuum_naptime=5\\ncheckpoint_timeout=30s\\nlogging_collector=off\\n" >>$PGDATA/postgresql.conf
su postgres -c "$bin/pg_ctl -D $PGDATA -l /tmp/pg.log -w start >/dev/null"
su postgres -c "$bin/createdb bench && $bin/psql -qc 'create extension amcheck' bench && $bin/pgbench -qi -s 1 bench 2>/dev/null"
"""
# Each transaction of pgbench's own script adds one row to pgbench_history and the same amount to three balances.
LOAD = "su postgres -c 'nohup /opt/pg/pgbench -n -c 2 -T 100000 bench >/tmp/load.log 2>&1 &'"
START = ("mkdir -p /run/postgresql && chown postgres /run/postgresql; rm -f /var/lib/postgresql/bench/postmaster.pid; "
         "su postgres -c '/opt/pg/pg_ctl -D /var/lib/postgresql/bench -l /tmp/pg.log -w start >/dev/null'")
COUNT = "su postgres -c \"/opt/pg/psql -Atc 'select count(*) from pgbench_history' bench\""
SUMS = ("su postgres -c \"/opt/pg/psql -AtF ' ' -c 'select (select sum(abalance) from pgbench_accounts), "
        "(select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers), "
        "(select coalesce(sum(delta),0) from pgbench_history)' bench\"")
CHECK = "su postgres -c '/opt/pg/pg_amcheck --heapallindexed -d bench' && echo whole"
CHECKSUMS = ("pkill pgbench; su postgres -c '/opt/pg/pg_ctl -D /var/lib/postgresql/bench -m fast -w stop >/dev/null' && "
             "/opt/pg/pg_checksums -c -D /var/lib/postgresql/bench")


class Run:
    def __init__(self, server):
        self.server = server
        self.checked = 0
        self.disturbed = {}

    def sh(self, vm, script, timeout_s=240):
        return self.server.run(vm, "sh", "-c", script, timeout_s=timeout_s)

    def committed(self, vm):
        return int(self.sh(vm, COUNT))

    def hold_against(self, vm, least, full):
        """At least what was committed before is there, and all of it fits together."""
        count = self.committed(vm)
        if count < least:
            raise AssertionError(f"{vm}: {count} rows, {least} were committed")
        sums = set(self.sh(vm, SUMS).split())
        if len(sums) != 1:
            raise AssertionError(f"{vm}: the balances differ: {sums}")
        if full and self.sh(vm, CHECK).strip().split("\n")[-1] != "whole":
            raise AssertionError(f"{vm}: amcheck")
        self.checked += 1

    def timed(self, what, function, *arguments):
        begun = time.monotonic()
        result = function(*arguments)
        self.disturbed.setdefault(what, []).append(time.monotonic() - begun)
        return result

    def suspend(self):
        least = self.committed("db")
        self.timed("suspend", self.server.must, 200, "POST", "/vms/db/suspend", None, 120)
        self.timed("resume", self.server.must, 200, "POST", "/vms/db/resume", None, 120)
        self.hold_against("db", least, False)

    def take(self):
        return self.timed("snapshot", self.server.must, 201, "POST", "/vms/db/snapshots", {}, 120)["id"]

    def snapshot(self):
        """A new VM from its memory, and one that boots from its disk and recovers."""
        least = self.committed("db")
        snapshot = self.take()
        for name, memory in (("hot", True), ("crashed", False)):
            self.server.must(201, "POST", "/vms", {"name": name, "from_snapshot": snapshot, "restore_memory": memory}, wait=240)
            if not memory:
                self.sh(name, START)
            self.hold_against(name, least, True)
            self.server.delete(name)
        self.server.must(204, "DELETE", f"/snapshots/{snapshot}")

    def fork(self):
        least = self.committed("db")
        child = self.timed("fork", self.server.must, 200, "POST", "/vms/db/fork", {}, 120)["children"][0]
        if self.server.wait_operation(child["operation"])["state"] != "succeeded":
            raise AssertionError(child)
        self.hold_against(child["name"], least, True)
        if "bad" in self.sh(child["name"], CHECKSUMS).lower().replace("bad checksums:  0", ""):
            raise AssertionError("pg_checksums")
        self.server.delete(child["name"])

    def restore(self):
        least = self.committed("db")
        snapshot = self.take()
        time.sleep(1)
        self.timed("restore", self.server.must, 200, "POST", "/vms/db/restore", {"snapshot": snapshot}, 120)
        self.hold_against("db", least, True)
        self.server.must(204, "DELETE", f"/snapshots/{snapshot}")


def rootfs(given):
    path = given or f"{BASE}/postgres.tar"
    if not os.path.exists(path):
        subprocess.run(["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={PACKAGES}", "bookworm", f"{path}.new"],
                       check=True, stdin=subprocess.DEVNULL)
        os.rename(f"{path}.new", path)
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--rootfs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with base_server() as server:
        run = Run(server)
        server.must(201, "POST", "/images", {"import": os.path.abspath(rootfs(options.rootfs)), "name": "postgres"}, wait=600)
        server.must(201, "POST", "/vms", {"name": "db", "boot": "cold", **SHAPE}, wait=240)
        run.sh("db", SETUP, 600)
        run.sh("db", LOAD)
        begun = time.monotonic()
        for i in range(options.rounds):
            kind = (run.suspend, run.snapshot, run.fork, run.restore, run.suspend)[i % 5]
            kind()
            print(f"{i + 1:3} {kind.__name__}: {run.committed('db')} rows, {time.monotonic() - begun:.0f} s", flush=True)
        rows = run.committed("db")
        run.hold_against("db", rows, True)
        print(run.sh("db", CHECKSUMS))
        server.delete("db")
        if server.leftovers():
            raise AssertionError(server.leftovers())
    print(f"{options.rounds} rounds, {rows} committed rows at the end, {run.checked} checks; seconds at most: "
          + ", ".join(f"{what} {max(times):.1f}" for what, times in run.disturbed.items()))


if __name__ == "__main__":
    sys.exit(main())
