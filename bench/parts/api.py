# SPDX-License-Identifier: Apache-2.0
"""The API by TCP with a token, beside one nginx worker that serves the same bytes as a file; and a thousand who wait."""
import json
import re
import resource
import select
import socket
import statistics
import subprocess
import tempfile
import time

import machine
from figures import Beside, Failed, Figure, Skip, Skipped, at_least_times, at_most, figure

WAITING = 1000
SECONDS = 3


def etag(port, headers):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(("GET /vms/bench HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" +
                   "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())
        head = s.recv(4096).decode(errors="replace")
    return re.search(r"(?i)\r\netag: (.*)\r\n", head)[1]


def wrk(port, headers, connections=16, delay_ms=0):
    """Requests a second, and the 99th percentile of the latency in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if delay_ms:
            script.write(f"function delay() return {delay_ms} end\n")
            script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--latency", f"http://127.0.0.1:{port}/vms/bench"]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        if delay_ms:
            command += ["-s", script.name]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out and "If-None-Match" not in headers:
        raise Failed(f"wrk: {out}")
    amount, unit = re.search(r"99%\s+([0-9.]+)(us|ms|s)", out).groups()
    return (float(re.search(r"Requests/sec:\s+([0-9.]+)", out)[1]),
            float(amount) * {"us": 0.001, "ms": 1, "s": 1000}[unit])


def in_turns(rounds, *sides):
    """Samples of each side, each round of the same moment."""
    return list(zip(*[[side() for side in sides] for _ in range(rounds)]))


def waiting_clients(server, token):
    """Milliseconds until each of a thousand has an event, and what they cost while nothing happens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16, hard))
    poll, clients = select.epoll(), {}
    request = (f"GET /events?kind=token. HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
               f"Authorization: Bearer {token}\r\n\r\n").encode()
    for _ in range(WAITING):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(request)
        s.recv(4096)
        clients[s.fileno()] = s
        poll.register(s, select.EPOLLIN)
    time.sleep(1)
    # What was sent at the beginning.
    for fd, _ in poll.poll(0, WAITING):
        clients[fd].recv(65536)
    cpu = machine.cpu_s(server.process.pid)
    time.sleep(SECONDS)
    cpu = machine.cpu_s(server.process.pid) - cpu
    late = []
    for i in range(5):
        seen, begun = set(), time.monotonic()
        server.call("POST", "/tokens", {"name": f"event{i}", "scope": "read"})
        while len(seen) < WAITING and time.monotonic() - begun < 10:
            for fd, _ in poll.poll(1, WAITING):
                if b"token.created" in clients[fd].recv(65536):
                    seen.add(fd)
        late.append((time.monotonic() - begun) * 1000 if len(seen) == WAITING else 10000.0)
        server.call("DELETE", f"/tokens/event{i}")
        time.sleep(0.3)
        for fd, _ in poll.poll(0, WAITING):
            clients[fd].recv(65536)
    for s in clients.values():
        s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return late, cpu


def requests(server, rounds, port, bearer):
    """Figures of GET /vms/{vm}, plain and conditional; `port` is nginx's, or None."""
    def rate(where, headers, conditional):
        return lambda: wrk(where, {**headers, **({"If-None-Match": etag(where, headers)} if conditional else {})})[0]

    nginx = [rate(port, {}, False), rate(port, {}, True)] if port else []
    for what, conditional, goal in (("", False, 1.0), (", If-None-Match", True, 1.1)):
        own, *others = in_turns(rounds, rate(server.port, bearer, conditional), *nginx[:1 + conditional])
        name = f"GET /vms/{{vm}} by TCP with a token{what}"
        if not others:
            yield figure(name, own, "/s")
        for other, peer in zip(others, ("one nginx worker, the same bytes as a file", "one nginx worker, If-None-Match too")):
            yield figure(name, own, "/s", [Beside(peer, statistics.median(other), other)], goal=at_least_times(goal),
                         ratio=statistics.median(a / b for a, b in zip(own, other)))


BODIES = {
    "of four fields": {"name": "web", "image": "mini", "vcpus": 1, "memory_mib": 256},
    "of all fields": {
        "name": "web", "if_exists": "error", "image": "registry.example/team/tool:1.2", "kernel": "debian-cloud", "vcpus": 2,
        "memory_mib": 2048, "disk_mib": 8192, "labels": {f"key-{i}": f"value-{i}" for i in range(16)}, "network": "user", "nat": True,
        "isolated": True, "ttl_s": 3600, "idle_stop_s": 600, "idle_suspend_s": 60, "wake": "auto", "init": "agent", "start": True,
        "boot": "auto"},
}


def validation(build):
    """What it costs to hold the body of a create against the document, beside parsing it."""
    for what, body in BODIES.items():
        _, parse, check, verdict = subprocess.run([f"{build}/bench/banger-bench-validate", "vm_create", json.dumps(body)], check=True,
                                                  capture_output=True, text=True).stdout.split()
        if verdict != "valid":
            raise Failed(f"a create's body {what} is refused")
        yield Figure(f"validation of a create's body {what}", float(check), "us", [Beside("parsing it", float(parse))], goal=at_most(20))


def measure(server, rounds):
    yield from validation(server.build)
    if not machine.program("wrk"):
        raise Skip("wrk is not installed (Debian package wrk)")
    token = server.call("POST", "/tokens", {"name": "bench", "scope": "admin"})["token"]
    server.create("bench", start=False)
    bearer = {"Authorization": f"Bearer {token}"}
    server.connection.request("GET", "/vms/bench")
    body = server.connection.getresponse().read()
    with machine.nginx("/vms/bench", body) as (_, port):
        if not port:
            yield Skipped("the API beside nginx", "nginx is not installed (Debian package nginx-light)")
        figures = list(requests(server, rounds, port, bearer))
    yield from figures
    fast, connections = figures[0].value, 64
    late = [wrk(server.port, bearer, connections, max(1, round(connections * 2000 / fast))) for _ in range(rounds)]
    yield figure(f"99th percentile at {statistics.median(r for r, _ in late) / fast * 100:.0f} % load",
                 [ms for _, ms in late], "ms", goal=at_most(5))
    last, cpu = waiting_clients(server, token)
    yield figure(f"an event at the last of {WAITING} SSE clients", last, "ms", goal=at_most(50))
    yield Figure(f"CPU in {SECONDS} s while they wait", cpu, "s", goal=at_most(0.01))
    server.delete("bench")
    server.call("DELETE", "/tokens/bench")
