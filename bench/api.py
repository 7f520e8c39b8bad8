# SPDX-License-Identifier: Apache-2.0
"""The API by TCP with a token, beside one nginx worker that serves the same bytes as a file; and a thousand who wait."""
import contextlib
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

WAITING = 1000
SECONDS = 3


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def nginx(body):
    """Its port; None where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not program:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bgnginx-", dir="/tmp") as folder:
        port = free_port()
        os.makedirs(f"{folder}/root/vms")
        os.chmod(folder, 0o755)
        with open(f"{folder}/root/vms/bench", "wb") as f:
            f.write(body)
        with open(f"{folder}/nginx.conf", "w", encoding="ascii") as f:
            f.write(f"""worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log; events {{ }}
http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=100; default_type application/json;
keepalive_requests 100000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; root {folder}/root; }} }}
""")
        process = subprocess.Popen([program, "-p", folder, "-c", f"{folder}/nginx.conf"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(500):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()
            process.wait()


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
        sys.exit(f"wrk: {out}")
    amount, unit = re.search(r"99%\s+([0-9.]+)(us|ms|s)", out).groups()
    return (float(re.search(r"Requests/sec:\s+([0-9.]+)", out)[1]),
            float(amount) * {"us": 0.001, "ms": 1, "s": 1000}[unit])


def in_turns(rounds, ours, theirs):
    """Medians of both and of their ratios: each pair meets the same machine."""
    pairs = [(ours(), theirs()) if theirs else (ours(), None) for _ in range(rounds)]
    own = statistics.median(a for a, _ in pairs)
    if not theirs:
        return own, None, None
    return own, statistics.median(b for _, b in pairs), statistics.median(a / b for a, b in pairs)


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
    cpu = cpu_s(server.process.pid)
    time.sleep(SECONDS)
    cpu = cpu_s(server.process.pid) - cpu
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
    return statistics.median(late), cpu


def bench_api(server, rounds):
    if not shutil.which("wrk"):
        return [("the API by TCP", "", "wrk is not installed (Debian package wrk)", None, "")]
    token = server.call("POST", "/tokens", {"name": "bench", "scope": "admin"})["token"]
    server.create("bench", start=False)
    bearer = {"Authorization": f"Bearer {token}"}
    server.connection.request("GET", "/vms/bench")
    body = server.connection.getresponse().read()
    rows = []
    with nginx(body) as port:
        def beside(extra_of):
            return in_turns(rounds, lambda: wrk(server.port, {**bearer, **extra_of(server.port, bearer)})[0],
                            (lambda: wrk(port, extra_of(port, {}))[0]) if port else None)
        for what, extra_of, goal in (("", lambda *_: {}, ">= 1.0"),
                                     (", If-None-Match", lambda p, h: {"If-None-Match": etag(p, h)}, ">= 1.1")):
            own, other, ratio = beside(extra_of)
            rows.append((f"GET /vms/{{vm}} by TCP with a token{what}", f"{own:.0f}/s",
                         f"{other:.0f}/s: one nginx worker, the same bytes as a file" if port else "nginx is not installed", ratio, goal))
            if not what:
                fast = own
    connections = 64
    delay = max(1, round(connections * 2000 / fast))
    late = [wrk(server.port, bearer, connections, delay) for _ in range(rounds)]
    rows.append((f"99th percentile at {statistics.median(r for r, _ in late) / fast * 100:.0f} % load",
                 f"{statistics.median(ms for _, ms in late):.2f} ms", "", None, "<= 5 ms"))
    last, cpu = waiting_clients(server, token)
    rows += [(f"an event at the last of {WAITING} SSE clients", f"{last:.0f} ms", "", None, "<= 50 ms"),
             (f"CPU in {SECONDS} s while they wait", f"{cpu:.2f} s", "", None, "0")]
    server.delete("bench")
    server.call("DELETE", "/tokens/bench")
    return rows
