# SPDX-License-Identifier: Apache-2.0
"""A command in a new VM, from a template and booted, beside a container of the same root file system by crun."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

import machine
from figures import Failed, Skip, beside, figure

NAME = f"bgbench-{os.getpid()}"


def bundle(server, folder):
    """The image's files, and crun's own idea of a configuration for them."""
    images = f"{server.home}/state/images"
    image = next(f"{images}/{name}/root.squashfs" for name in os.listdir(images) if os.path.exists(f"{images}/{name}/root.squashfs"))
    subprocess.run(["unsquashfs", "-q", "-n", "-d", f"{folder}/rootfs", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["crun", "spec"], check=True, cwd=folder)
    with open(f"{folder}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["process"].update(terminal=False, args=["true"])
    with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


@contextlib.contextmanager
def unified_cgroups():
    """crun wants cgroups of one version: where the host has both, a mount namespace in which there is the second alone. What
    goes in front of a command to be in there; nothing where the host has one."""
    if not os.path.isdir("/sys/fs/cgroup/unified"):
        yield []
        return
    process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && echo ready && exec sleep 600"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if process.stdout.readline() != b"ready\n":
            raise Skip("crun needs cgroup v2 alone, and it can't be mounted here")
        yield ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt"]
    finally:
        machine.stop(process)
        process.stdout.close()


def container_s(within, folder):
    """Create, start, run `true`, remove."""
    begun = time.monotonic()
    done = subprocess.run([*within, "crun", "--cgroup-manager=disabled", f"--root={folder}/state", "run", "--bundle", folder, NAME],
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Skip(f"crun can't start a container here: {done.stderr.strip()[-300:]}")
    return time.monotonic() - begun


def vm_s(server, name, **fields):
    begun = time.monotonic()
    server.create(name, **fields)
    server.execute(name, "true")
    server.delete(name)
    return time.monotonic() - begun


def measure(server, rounds):
    if not machine.program("crun"):
        raise Skip("crun is not installed (Debian package crun)")
    if os.geteuid() != 0:
        raise Skip("needs root: crun's default configuration is for root")
    if not machine.program("unsquashfs"):
        raise Failed("unsquashfs is not installed (Debian package squashfs-tools)")
    server.create("seed")
    server.wait_for_template()
    server.delete("seed")
    folder = tempfile.mkdtemp(prefix="bgcrun-", dir="/tmp")
    cold, clones, containers = [], [], []
    try:
        bundle(server, folder)
        with unified_cgroups() as within:
            for i in range(rounds):
                cold.append(vm_s(server, f"box{i}", boot="cold"))
                for k in range(3):
                    server.wait_for_ready()
                    clones.append(vm_s(server, f"box{i}-{k}"))
                    containers.append(container_s(within, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield figure("a VM of which one is kept ready: create, true, delete", clones, "s",
                 [beside("crun run, same files: create, true, delete", containers), beside("a VM that boots", cold)],
                 note="a container shares the host's kernel; a VM has its own")
