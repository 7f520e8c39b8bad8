# SPDX-License-Identifier: Apache-2.0
"""The root helper: a round trip beside a bare SEQPACKET echo, tap, NAT and cgroup of one VM, memory at rest.

In a network namespace of its own: nothing of it is seen by the machine.
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import machine
from figures import Failed, Figure, Skip, Skipped, at_most, at_most_times, beside, figure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(f"{ROOT}/tests/integration/helper")

from wire import NAT, Client, net_body  # noqa: E402

COUNT = 2000
VM = b"0123456789abcd01"

# What a VM's tap and its way out are made of, with the programs that an administrator would take.
BY_HAND = ("ip tuntap add bench0 mode tap && ip link set bench0 master br-bench up && "
           "printf 'table inet bench { chain c { type nat hook postrouting priority 100; ip saddr 10.9.9.9 masquerade; }; }' | nft -f -")
UNDO = "ip link del bench0; nft delete table inet bench"


def round_trips(floor, path):
    out = subprocess.run([floor, "time", path, str(COUNT)], check=True, capture_output=True, text=True, timeout=60).stdout
    return [float(line) for line in out.split()]


def echo_beside(folder, helper_socket, rounds):
    """Microseconds of both, in turns."""
    floor = f"{folder}/floor"
    subprocess.run(["cc", "-O2", f"-I{ROOT}", "-o", floor, f"{ROOT}/bench/seqpacket_floor.c"], check=True)
    ours, bare = [], []
    for i in range(rounds):
        path = f"{folder}/echo{i}.sock"
        process = subprocess.Popen([floor, "echo", path], stdin=subprocess.DEVNULL)
        try:
            machine.wait_until(lambda p=path: os.path.exists(p), "the echo listens")
            time.sleep(0.05)
            bare += round_trips(floor, path)
        finally:
            machine.stop(process)
        ours += round_trips(floor, helper_socket)
    return ours, bare


def must(client, op, body=b""):
    reply = client.call(op, body)
    if reply is None or reply.result != 0:
        raise Failed(f"{op}: {'the connection was dropped' if reply is None else f'{reply.result} {reply.reason}'}")
    return reply


def in_namespace(pid, script):
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-c", script]


CGROUPS = "/sys/fs/cgroup"


@contextlib.contextmanager
def delegated():
    """A cgroup as systemd would delegate it to the helper's unit; None where controllers are not v2."""
    try:
        with open(f"{CGROUPS}/cgroup.subtree_control", encoding="ascii") as f:
            handed_down = f.read().split()
    except FileNotFoundError:
        handed_down = []
    if not {"cpu", "memory", "pids"} <= set(handed_down):
        yield None
        return
    top = f"{CGROUPS}/banger-bench-{os.getpid()}"
    unit = f"{top}/banger-helper.service"
    os.mkdir(top)
    try:
        put(f"{top}/cgroup.subtree_control", "+cpu +memory +pids")
        os.mkdir(unit)
        yield unit
    finally:
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)


def put(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def cgroups_beside(client, unit, rounds):
    """Milliseconds of cgroup.create, and of the same folder and files written by hand, in turns."""
    ours, hand = [], []
    for _ in range(rounds * 4):
        begun = time.monotonic()
        must(client, "cgroup.create", struct.pack("<16sQII", VM, 256 << 20, 100, 64))
        ours.append((time.monotonic() - begun) * 1000)
        must(client, "cgroup.remove", VM)
        begun = time.monotonic()
        os.mkdir(f"{unit}/by-hand")
        put(f"{unit}/by-hand/memory.max", str(256 << 20))
        put(f"{unit}/by-hand/cpu.max", "100000 100000")
        put(f"{unit}/by-hand/pids.max", "64")
        hand.append((time.monotonic() - begun) * 1000)
        os.rmdir(f"{unit}/by-hand")
    return ours, hand


def networks(client, pid, rounds, cgroups):
    """Milliseconds of a VM's tap, NAT and cgroup, and of tap and NAT by hand, in turns."""
    subnet = struct.unpack("<I", must(client, "bridge.ensure").body[:4])[0]
    subprocess.run(in_namespace(pid, "ip link add br-bench type bridge && ip link set br-bench up"), check=True)
    ours, hand = [], []
    for _ in range(rounds * 4):
        begun = time.monotonic()
        if cgroups:
            must(client, "cgroup.create", struct.pack("<16sQII", VM, 256 << 20, 100, 64))
        tap = must(client, "tap.create", net_body(VM, subnet + 9, NAT)).fd
        ours.append((time.monotonic() - begun) * 1000)
        # As a VMM's end would: the interface goes with its last descriptor.
        os.close(tap)
        must(client, "nat.remove", net_body(VM, subnet + 9))
        must(client, "tap.delete", net_body(VM, subnet + 9))
        if cgroups:
            must(client, "cgroup.remove", VM)
        begun = time.monotonic()
        subprocess.run(in_namespace(pid, BY_HAND), check=True, stdin=subprocess.DEVNULL)
        hand.append((time.monotonic() - begun) * 1000)
        subprocess.run(in_namespace(pid, UNDO), check=True, stdin=subprocess.DEVNULL)
    return ours, hand


def start(server, folder, unit):
    """Its process and socket, as root in a network of its own that may forward, and in the cgroup, if any."""
    path = f"{folder}/helper.sock"
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; shift; ip link set lo up; for f in ipv4/ip_forward ipv6/conf/all/forwarding; do '
             'echo 1 >/proc/sys/net/$f; done; exec "$@"', "sh", unit or "", f"{server.build}/helper/banger-helper", "--owner-uid", "0",
             "--owner-gid", "0", "--socket", path, "--runtime-dir", f"{folder}/run", "--jail-dir", f"{folder}/jail"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def listens():
        if process.poll() is not None:
            with open(f"{folder}/log", encoding="utf-8") as f:
                raise Failed(f"the helper ended: {f.read()[-1000:]}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(path) == 0
    try:
        machine.wait_until(listens, "the helper listens")
    except BaseException:
        machine.stop(process)
        raise
    return process, path


def measure(server, rounds):
    if os.geteuid() != 0:
        raise Skip("needs root, for taps and a network namespace")
    with delegated() as unit:
        yield from measure_in(unit, server, rounds)


def measure_in(unit, server, rounds):
    folder = tempfile.mkdtemp(prefix="bghelp-", dir="/tmp")
    process, path = start(server, folder, unit)
    try:
        time.sleep(1)
        yield Figure("helper at rest, resident", machine.rollup_kib(process.pid)["Rss"] / 1024, "MiB", goal=at_most(3))
        ours, bare = echo_beside(folder, path, rounds)
        yield figure("round trip of status, p50", ours, "us", [beside("bare SEQPACKET echo", bare)], goal=at_most_times(1.5))
        client = Client(path)
        if unit:
            made, hand = cgroups_beside(client, unit, rounds)
            yield figure("the VM's cgroup with its limits", made, "ms", [beside("mkdir and three writes by hand", hand)])
        else:
            yield Skipped("the VM's cgroup", "not here: no cgroup v2 controllers")
        made, hand = networks(client, process.pid, rounds, unit is not None)
        yield figure(f"tap{', NAT and cgroup' if unit else ' and NAT'} of one VM", made, "ms",
                     [beside("tap and NAT with ip and nft by hand", hand)], goal=at_most(10))
        client.close()
    finally:
        machine.stop(process)
        shutil.rmtree(folder, ignore_errors=True)
