# SPDX-License-Identifier: Apache-2.0
"""A hundred verbs a second on a thousand VMs whose VMM is a stub: what the server itself takes for them."""
import concurrent.futures
import os
import re
import statistics
import subprocess
import sys
import threading
import time

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
        sys.exit(f"{method} {target}: {status} {text[:500]!r}")


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


def bench_verbs(server, _rounds):
    """On the server's home, with another server process."""
    if not os.path.exists(QEMU) or not os.path.exists(f"{server.build}/bench/banger-stub-vmm"):
        return [(f"verbs on {COUNT} VMs", "not measured", "needs QEMU's place and a build with tests", None, "")]
    server.restart(lambda command: stubbed(command, server.build), "[vms]\nmemory_overcommit_percent = 1000\nmax = 2000\n")
    names = [f"verb{i:04}" for i in range(COUNT)]
    shape = '{"name": "%s", "image": "mini", "vcpus": 1, "memory_mib": 96, "disk_mib": 16, "network": "none", "boot": "cold"}'
    begun = time.monotonic()
    on_all(server.connect, lambda c, name: must(c, "POST", "/vms", shape % name), names)
    created = time.monotonic() - begun
    watch = server.connect()
    before = buckets(metrics(watch))
    took, times, refused, queued = load(server.connect(), names, watch)
    after = buckets(metrics(watch))
    rss = server.rss_kib()
    on_all(server.connect, lambda c, name: must(c, "DELETE", f"/vms/{name}"), names)
    server.restart(lambda command: command, "")
    half = len(queued) // 2
    return [(f"{COUNT} VMs with a stub VMM: created", f"{COUNT / created:.0f}/s", "8 clients", None, ""),
            (f"{RATE} verbs a second on them, {SECONDS} s", f"{len(times) / took:.0f}/s, {refused} refused", "", None, f"{RATE}/s"),
            ("operations under way, first and second half", f"{max(queued[:half])}, {max(queued[half:])} at most", "", None, "no growth"),
            ("a verb's acceptance, median and p99", f"{statistics.median(times):.1f} ms, "
             f"{statistics.quantiles(times, n=100)[98]:.1f} ms", "", None, ""),
            ("a write of the database, p50 and p99", f"<= {quantile(before, after, 0.5) * 1000:g} ms, "
             f"<= {quantile(before, after, 0.99) * 1000:g} ms", f"{after[float('inf')] - before[float('inf')]:.0f} writes", None, "p99 <= 10 ms"),
            ("server, with them", f"{rss / 1024:.1f} MiB", "", None, "")]
