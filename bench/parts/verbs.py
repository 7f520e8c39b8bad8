# SPDX-License-Identifier: Apache-2.0
"""A hundred verbs a second on a thousand VMs whose VMM is a stub: what the server itself takes for them."""
import concurrent.futures
import os
import re
import statistics
import threading
import time

from figures import Beside, Failed, Figure, Skip, at_least, at_most, at_most_times, figure

COUNT, RATE, SECONDS = 1000, 100, 30
# A life, over and over; each is possible after the one before.
CYCLE = ("pause", "resume", "kill", "start")
QEMU = "/usr/bin/qemu-system-x86_64"


def stubbed(command, build):
    """The server in a mount namespace where the stub is QEMU."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    return [*unshare, "--propagation", "private", "sh", "-c",
            f'mount --bind "$0" {QEMU} && exec "$@"', f"{build}/bench/banger-stub-vmm", *command]


def metrics(connection):
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def value(text, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found.group(1)) if found else 0.0


def buckets(text):
    """Upper bounds and how many writes took at most so long."""
    return {float(le): float(n) for le, n in
            re.findall(r'^banger_store_write_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.M)}


def quantile(before, after, q):
    """Upper bound of the bucket that the quantile is in."""
    total = after[float("inf")] - before[float("inf")]
    return next(le for le in sorted(after) if after[le] - before[le] >= q * total)


def on_all(make_connection, work, names):
    local = threading.local()

    def one(name):
        if not hasattr(local, "connection"):
            local.connection = make_connection()
        return work(local.connection, name)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, names))


def call(connection, method, target, body=None, wait=0):
    connection.request(method, target, body, {"Content-Type": "application/json", **({"Prefer": f"wait={wait}"} if wait else {})})
    reply = connection.getresponse()
    return reply.status, reply.read()


def must(connection, method, target, body=None):
    status, text = call(connection, method, target, body, wait=120)
    if status >= 300:
        raise Failed(f"{method} {target}: {status} {text[:500]!r}")


def load(connection, names, watch):
    """One client that sends at the rate whether the server keeps up or not; milliseconds to each acceptance."""
    begun, times, refused, queued = time.monotonic(), [], 0, []
    for i in range(RATE * SECONDS):
        time.sleep(max(0, begun + i / RATE - time.monotonic()))
        if i % RATE == 0:
            text = metrics(watch)
            queued.append(int(value(text, 'banger_operations{state="queued"}') + value(text, 'banger_operations{state="running"}')))
        sent = time.monotonic()
        status, _ = call(connection, "POST", f"/vms/{names[i % len(names)]}/{CYCLE[i // len(names) % len(CYCLE)]}")
        times.append((time.monotonic() - sent) * 1000)
        refused += status != 202
    return (time.monotonic() - begun), times, refused, queued


def measure(server, _rounds):
    """On the server's home, with another server process."""
    if not os.path.exists(QEMU) or not os.path.exists(f"{server.build}/bench/banger-stub-vmm"):
        raise Skip(f"needs {QEMU}, whose place the stub takes, and a build with -DBANGER_TESTS=ON")
    server.restart(stubbed(server.command, server.build), "[vms]\nmemory_overcommit_percent = 1000\nmax = 2000\n")
    try:
        yield from under_load(server)
    finally:
        server.restart(config="")


def under_load(server):
    names = [f"verb{i:04}" for i in range(COUNT)]
    shape = '{"name": "%s", "image": "mini", "vcpus": 1, "memory_mib": 96, "disk_mib": 16, "network": "none", "boot": "cold"}'
    begun = time.monotonic()
    on_all(server.connect, lambda c, name: must(c, "POST", "/vms", shape % name), names)
    yield Figure(f"{COUNT} VMs with a stub VMM: created", COUNT / (time.monotonic() - begun), "/s", note="8 clients at once")
    watch = server.connect()
    before = buckets(metrics(watch))
    took, times, refused, queued = load(server.connect(), names, watch)
    after = buckets(metrics(watch))
    rss = server.rss_kib()
    on_all(server.connect, lambda c, name: must(c, "DELETE", f"/vms/{name}"), names)
    half = len(queued) // 2
    yield Figure(f"verbs a second on them, {SECONDS} s", (len(times) - refused) / took, "/s",
                 [Beside("the rate that one client sends", RATE)], at_least(0.99 * RATE), note=f"{refused} refused")
    yield Figure("operations under way, second half", max(queued[half:]), "", [Beside("first half", max(queued[:half]))],
                 at_most_times(2), note="no growth")
    yield figure("a verb's acceptance, median", times, "ms")
    yield Figure("a verb's acceptance, p99", statistics.quantiles(times, n=100)[98], "ms")
    yield Figure("a write of the database, p99", quantile(before, after, 0.99) * 1000, "ms",
                 [Beside("p50", quantile(before, after, 0.5) * 1000)], at_most(10),
                 note=f"upper bounds; {after[float('inf')] - before[float('inf')]:.0f} writes")
    yield Figure("server, with them", rss / 1024, "MiB")
