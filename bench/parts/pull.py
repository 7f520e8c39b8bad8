# SPDX-License-Identifier: Apache-2.0
"""An image from a registry on loopback, beside skopeo, umoci and mksquashfs: time, and the most memory resident at once.

The layer is a tar of this machine's own programs; `bench/pull ROOTFS.tar` takes another one.
"""
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import machine
from figures import Beside, Failed, Figure, Skip, at_most, at_most_times, beside, figure
from server import Connection

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(f"{ROOT}/tests/integration")

from registry import OCI, sha256  # noqa: E402

LAYER_MIB = 96
LARGEST = 16 << 20
# Programs and the Debian packages that they are in.
NEEDED = {"docker-registry": "docker-registry", "skopeo": "skopeo", "umoci": "umoci", "mksquashfs": "squashfs-tools"}


class Peak:
    """The most that a process and its children had, looked at all the time."""

    def __init__(self, pid):
        self.pid, self.kib, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.wait(0.02):
            self.kib = max(self.kib, sum(resident_kib(pid) for pid in machine.processes_below(self.pid)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def resident_kib(pid):
    """Each page counted once, however many have it; 0: it has ended."""
    try:
        return machine.rollup_kib(pid).get("Pss", 0)
    except OSError:
        return 0


def wait_for(path_or_port, process):
    def listens():
        if process.poll() is not None:
            raise Failed("a server ended before it listened")
        with socket.socket(socket.AF_INET if isinstance(path_or_port, int) else socket.AF_UNIX) as s:
            return s.connect_ex(("127.0.0.1", path_or_port) if isinstance(path_or_port, int) else path_or_port) == 0
    machine.wait_until(listens, "a server listens")


def make_layout(tar, folder):
    os.makedirs(f"{folder}/blobs/sha256")

    def blob(data, media):
        with open(f"{folder}/blobs/sha256/{sha256(data)[7:]}", "wb") as f:
            f.write(data)
        return {"mediaType": media, "digest": sha256(data), "size": len(data)}
    with open(tar, "rb") as f:
        data = f.read()
    packed = blob(gzip.compress(data, 6, mtime=0), f"{OCI}.layer.v1.tar+gzip")
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                              "rootfs": {"type": "layers", "diff_ids": [sha256(data)]}}).encode(),
                  f"{OCI}.config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config,
                                "layers": [packed]}).encode(), f"{OCI}.manifest.v1+json")
    with open(f"{folder}/index.json", "w", encoding="ascii") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            **manifest, "annotations": {"org.opencontainers.image.ref.name": "t"}}]}, f)
    with open(f"{folder}/oci-layout", "w", encoding="ascii") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    return len(data), packed["size"]


def by_others(host, work):
    """Seconds and KiB."""
    shutil.rmtree(f"{work}/others", ignore_errors=True)
    os.makedirs(f"{work}/others")
    peak, begun = 0, time.monotonic()
    for command in (["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{host}/t:1",
                     f"oci:{work}/others/oci:t"],
                    ["umoci", "unpack", "--image", f"{work}/others/oci:t", f"{work}/others/bundle"],
                    ["mksquashfs", f"{work}/others/bundle/rootfs", f"{work}/others/root.squashfs", "-quiet",
                     "-no-progress", "-comp", "lz4"]):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with Peak(process.pid) as watch:
            if process.wait() != 0:
                raise Failed(f"{command[0]} failed")
        peak = max(peak, watch.kib)
    return time.monotonic() - begun, peak


def by_banger(host, work, build):
    home = tempfile.mkdtemp(prefix="bgpull-", dir=work)
    process = subprocess.Popen([f"{build}/server/banger-server", "--home", home, "--no-tcp", "--agent",
                                f"{build}/agent/banger-agent"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(f"{home}/run/server.sock", process)
    idle = resident_kib(process.pid)
    connection = Connection(f"{home}/run/server.sock")
    begun = time.monotonic()
    server_peak = 0
    with Peak(process.pid) as watch:
        connection.request("POST", "/images", json.dumps({"pull": f"{host}/t:1"}), {"Prefer": "wait=600"})
        reply = connection.getresponse()
        text = reply.read()
        took = time.monotonic() - begun
    if reply.status != 201:
        raise Failed(text.decode())
    server_peak = resident_kib(process.pid)
    process.terminate()
    process.wait()
    shutil.rmtree(home)
    return took, watch.kib, idle, server_peak


def own_programs(path):
    """A tar of about LAYER_MIB from /usr/bin and /usr/lib: what images are mostly made of."""
    left = LAYER_MIB << 20
    with tarfile.open(path, "w") as tar:
        for top in ("/usr/bin", "/usr/lib/python3", "/usr/lib/x86_64-linux-gnu"):
            for folder, folders, files in os.walk(top):
                folders.sort()
                for name in sorted(files):
                    file = f"{folder}/{name}"
                    if left > 0 and os.path.isfile(file) and not os.path.islink(file) and os.path.getsize(file) <= LARGEST:
                        tar.add(file, file[1:])
                        left -= os.path.getsize(file)


def missing():
    """Why it can't be measured; None: it can."""
    for name, package in NEEDED.items():
        if not machine.program(name):
            return f"{name} is not installed (Debian package {package})"
    return "needs root: umoci keeps owners" if os.geteuid() != 0 else None


def pulls(build, rounds, tar, work):
    """Bytes of the layer, bytes of it packed, and (seconds, peak KiB, …) of banger and of the others, in turns."""
    port = machine.free_port()
    with open(f"{work}/registry.yml", "w", encoding="ascii") as f:
        f.write(f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {work}/registry\n"
                f"http:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n")
    registry = subprocess.Popen(["docker-registry", "serve", f"{work}/registry.yml"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, registry)
        host = f"127.0.0.1:{port}"
        size, packed = make_layout(tar, f"{work}/layout")
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{work}/layout:t",
                        f"docker://{host}/t:1"], check=True, stdin=subprocess.DEVNULL)
        ours, others = [], []
        for _ in range(rounds):
            ours.append(by_banger(host, work, build))
            others.append(by_others(host, work))
        return size, packed, ours, others
    finally:
        machine.stop(registry)


def figures_of(size, packed, ours, others):
    what = f"layer of {packed >> 20} MiB, {size >> 20} MiB unpacked"
    yield figure(f"pull, {what}", [one[0] for one in ours], "s",
                 [beside("skopeo, umoci, mksquashfs one after the other", [one[0] for one in others])], goal=at_most_times(0.5))
    yield Figure("most memory at once, all processes", max(one[1] for one in ours) / 1024, "MiB",
                 [Beside("skopeo, umoci, mksquashfs", max(one[1] for one in others) / 1024)], at_most(160),
                 [one[1] / 1024 for one in ours])
    yield Figure("server, growth by the first pull", (ours[0][3] - ours[0][2]) / 1024, "MiB", note=f"{ours[0][2] / 1024:.1f} MiB before")


def measure(server, rounds, tar=None):
    why = missing()
    if why:
        raise Skip(why)
    work = tempfile.mkdtemp(prefix="bgpull-", dir="/var/tmp")
    try:
        if not tar:
            tar = f"{work}/layer.tar"
            own_programs(tar)
        yield from figures_of(*pulls(server.build, min(rounds, 3), tar, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
