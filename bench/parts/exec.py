# SPDX-License-Identifier: Apache-2.0
"""`true` in a guest through the API, beside vfork, exec and wait of the same program in the guest."""
import base64
import gzip
import os
import statistics
import subprocess
import tempfile
import time

from figures import Beside, Figure, at_most

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def put_floor(server, vm):
    """The program that measures what the guest itself takes, as /tmp/floor."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cc", "-O2", "-static", "-s", "-o", f"{folder}/floor", f"{HERE}/spawn_floor.c"], check=True)
        with open(f"{folder}/floor", "rb") as f:
            packed = base64.b64encode(gzip.compress(f.read(), 9)).decode()
    server.execute(vm, "sh", "-c", "base64 -d | gunzip > /tmp/floor; chmod +x /tmp/floor", stdin=packed)


def timed(work):
    """Milliseconds."""
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1000


def measure(server, rounds):
    server.create("exec")
    server.wait_for_template()
    put_floor(server, "exec")
    times, floors = [], []
    for _ in range(20):
        server.execute("exec", "true")
    for _ in range(rounds):
        # In turns, so that both meet the same machine.
        floors.append(int(server.execute("exec", "/tmp/floor", "/bin/true")) / 1000)
        times += [timed(lambda: server.execute("exec", "true")) for _ in range(40)]
    server.delete("exec")
    floor = statistics.median(floors)
    yield Figure("exec true, p50", statistics.median(times), "ms",
                 [Beside("vfork, exec, wait in the guest", floor, floors)], at_most(1.2 * floor + 2), times,
                 note="the goal is 1.2 times the floor and 2 ms")
