# SPDX-License-Identifier: Apache-2.0
"""Bytes between host and guest, beside a plain copy over the same device and `tar | tar` in the guest.

Streams server.mib MiB there and back; `bench/run --only transfer --mib 10240 --rounds 1` is the long run.
"""
import base64
import gzip
import hashlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import machine
from figures import Failed, Figure, at_least_times, at_most, at_most_times, beside, figure

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(f"{os.path.dirname(HERE)}/tests/integration")

from websocket import WebSocket  # noqa: E402

MIB = 1 << 20
BLOCK = os.urandom(MIB)
VM = "transfer"


class Peak:
    """What the server's memory grows by within the block, in KiB."""

    def __init__(self, server):
        self.pid = server.process.pid

    def value(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith(name)).split()[1])

    def __enter__(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")  # the peak begins anew
        self.before = self.value("VmRSS:")
        return self

    def __exit__(self, *_):
        self.growth = self.value("VmHWM:") - self.before


# --- through the API ---

def send(server, target, chunks, length=None):
    connection = server.connect()
    headers = {"Content-Type": "application/x-tar" if "tar=" in target else "application/octet-stream"}
    if length is not None:
        headers["Content-Length"] = str(length)
    connection.request("PUT", target, chunks, headers, encode_chunked=length is None)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    if reply.status >= 300:
        raise Failed(f"PUT {target}: {reply.status} {body[:500]!r}")


def take(server, target, digest=None):
    """Bytes that came."""
    connection = server.connect()
    connection.request("GET", target)
    reply = connection.getresponse()
    if reply.status != 200:
        raise Failed(f"GET {target}: {reply.status} {reply.read(500)!r}")
    buffer, total = bytearray(256 * 1024), 0
    while n := reply.readinto(buffer):
        total += n
        if digest:
            digest.update(memoryview(buffer)[:n])
    connection.close()
    return total


def tar_of(count):
    """A tar stream of one file of so many MiB."""
    info = tarfile.TarInfo("file")
    info.size = count * MIB
    yield info.tobuf()
    for _ in range(count):
        yield BLOCK
    yield bytes(1024)


def timed(work, *args):
    """Seconds."""
    begun = time.monotonic()
    work(*args)
    return time.monotonic() - begun


def rate(count, seconds):
    return count * MIB / 1e6 / seconds


# --- the plain copy ---

def put_floor(server):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cc", "-O2", "-static", "-s", "-o", f"{folder}/floor", f"{HERE}/link_floor.c"], check=True)
        with open(f"{folder}/floor", "rb") as f:
            packed = base64.b64encode(gzip.compress(f.read(), 9)).decode()
    server.execute(VM, "sh", "-c", "base64 -d | gunzip > /root/floor; chmod +x /root/floor", stdin=packed)


def receive(link, left):
    buffer = bytearray(256 * 1024)
    while left > 0:
        n = link.recv_into(buffer, min(left, len(buffer)))
        if n == 0:
            raise Failed("the plain copy broke off")
        left -= n


def plain_copy(server, vm_id, count):
    """Seconds in and out, with the server away: the device has one user at a time."""
    server.call("POST", f"/vms/{VM}/execs", {"argv": ["/root/floor"]})
    machine.stop(server.process)
    time.sleep(1)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(600)
    link.connect(f"{server.home}/run/vm/{vm_id}/link.sock")
    begun = time.monotonic()
    line = f"in {count * MIB} /root/plain\n".encode()
    link.sendall(line)
    for _ in range(count):
        link.sendall(BLOCK)
    receive(link, len(line))
    there = time.monotonic() - begun
    begun = time.monotonic()
    link.sendall(f"out {count * MIB} /root/plain\n".encode())
    receive(link, count * MIB)
    back = time.monotonic() - begun
    link.close()
    time.sleep(1)
    server.spawn(server.command)
    server.execute(VM, "rm", "-f", "/root/plain")
    return there, back


def streams(server, vm_id, rounds, count):
    ours = {"in": [], "out": []}
    plain = {"in": [], "out": []}
    for _ in range(rounds):
        there, back = plain_copy(server, vm_id, count)
        plain["in"].append(rate(count, there))
        plain["out"].append(rate(count, back))
        ours["in"].append(rate(count, timed(send, server, f"/vms/{VM}/files/root/tree?tar=true", tar_of(count))))
        ours["out"].append(rate(count, timed(take, server, f"/vms/{VM}/files/root/tree?tar=true")))
        server.execute(VM, "rm", "-rf", "/root/tree")
    for way in ("in", "out"):
        yield figure(f"tar of {count} MiB {way}", ours[way], "MB/s", [beside("plain copy over the same device", plain[way])],
                     goal=at_least_times(0.9), ratio=statistics.median(a / b for a, b in zip(ours[way], plain[way])))


# --- there and back ---

def round_trip(server, count):
    sent, came = hashlib.sha256(), hashlib.sha256()

    def blocks():
        for i in range(count):
            block = i.to_bytes(8, "big") + BLOCK[8:]
            sent.update(block)
            yield block

    with Peak(server) as peak:
        there = timed(send, server, f"/vms/{VM}/files/root/large", blocks(), count * MIB)
        back = timed(take, server, f"/vms/{VM}/files/root/large", came)
    server.connection = server.connect()  # one that was idle for minutes has been closed
    if sent.digest() != came.digest():
        raise Failed(f"{count} MiB came back as other bytes")
    yield Figure(f"file of {count} MiB in, checksum the same", rate(count, there), "MB/s")
    yield Figure(f"file of {count} MiB out", rate(count, back), "MB/s")
    yield Figure("server, growth meanwhile", peak.growth / 1024, "MiB", goal=at_most(4))


# --- many small files ---

FILES = 4000


def small_files():
    """As in a source tree: folders of twenty, a few KiB each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(FILES):
            info = tarfile.TarInfo(f"d{i // 400}/e{i // 20 % 20}/f{i}.c")
            info.size = 500 + i * 7919 % 16000
            tar.addfile(info, io.BytesIO(BLOCK[i:i + info.size]))
    return out.getvalue()


def many_files(server, rounds):
    data = small_files()
    ours, inside = [], []
    for _ in range(rounds):
        ours.append(timed(send, server, f"/vms/{VM}/files/root/many?tar=true", [data], len(data)))
        inside.append(timed(server.execute, VM, "sh", "-c",
                            "mkdir /root/copy && cd /root/many && tar c . | tar x -C /root/copy"))
        server.execute(VM, "rm", "-rf", "/root/many", "/root/copy")
    yield figure(f"{FILES} small files in", ours, "s", [beside("one tar into another in the guest", inside)], goal=at_most_times(1.3),
                 ratio=statistics.median(a / b for a, b in zip(ours, inside)))


# --- at once ---

def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def execs_at_once(server, rounds, count=100):
    times, barrier = [], threading.Barrier(count)

    def one():
        connection = server.connect()
        connection.connect()
        for _ in range(rounds):
            barrier.wait()
            begun = time.monotonic()
            connection.request("POST", f"/vms/{VM}/exec", json.dumps({"argv": ["true"]}), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            if reply.status != 200 or json.loads(reply.read())["exit_code"] != 0:
                barrier.abort()
            times.append(time.monotonic() - begun)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    yield Figure(f"{count} execs at once, p99", percentile(times, 99) * 1000, "ms",
                 [beside("their median", [t * 1000 for t in times])], at_most_times(3))


def echo(server, count):
    """Of single keys, while a file of so many MiB comes out of the guest."""
    def keys(seconds):
        late, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            terminal.output = b""
            begun = time.monotonic()
            terminal.send("k")
            terminal.until(b"k")
            late.append((time.monotonic() - begun) * 1000)
            time.sleep(0.03)
        return late

    terminal = WebSocket(server.socket, f"/vms/{VM}/terminal")
    terminal.until_message("session")
    terminal.send("stty -icanon; cat >/dev/null; echo $((1+1))-end\n")
    time.sleep(2)
    alone = keys(5)
    stop = threading.Event()

    def download():
        connection = server.connect()
        connection.request("GET", f"/vms/{VM}/files/root/large")
        reply = connection.getresponse()
        while not stop.is_set() and reply.read(256 * 1024):
            pass
        connection.close()

    worker = threading.Thread(target=download)
    worker.start()
    late = keys(min(20, max(3, count // 30)))
    whole = worker.is_alive()
    stop.set()
    worker.join()
    terminal.drop()
    yield Figure("echo of a key beside a download, p99", percentile(late, 99), "ms",
                 [beside("p99 without it", [percentile(alone, 99)])], at_most(20), late,
                 note="" if whole else "the download ended before the last key")


def measure(server, rounds):
    part = min(server.mib, 1024)
    vm = server.create(VM, disk_mib=server.mib + 2 * part + 512, boot="cold")
    put_floor(server)
    yield from streams(server, vm["id"], rounds, part)
    yield from round_trip(server, server.mib)
    yield from many_files(server, rounds)
    yield from execs_at_once(server, rounds)
    yield from echo(server, server.mib)
    server.delete(VM)
