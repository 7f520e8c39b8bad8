# SPDX-License-Identifier: Apache-2.0
"""POST /vms of a cold boot until the VM runs, beside the same VMM command line started by hand."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import machine
from figures import Failed, at_most, at_most_times, beside, figure
from server import SHAPE


def own_devices(command, folder, vm_folder, memory, keep):
    """The command with a disk of its own, what its descriptors have to be (`memory` is one), and its sockets by name."""
    work, copy = f"{vm_folder}/work.ext4", f"{folder}/work.ext4"
    subprocess.run(["cp", "--sparse=always", work, copy], check=True)
    fds, sockets = {}, {}
    for word in command:
        for number in re.findall(r"(?:[,=]|^)fd=(\d+)", word):
            path = f"{folder}/{number}.sock"
            listener = keep.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen(1)
            fds[int(number)] = listener.fileno()
            sockets[re.search(r"id=(\w+)", word).group(1)] = path
        for number in re.findall(r"mem-path=/proc/self/fd/(\d+)", word):
            fds[int(number)] = memory
    return [word.replace(work, copy) for word in command], fds, sockets


def placed(fds):
    """In the child: out of the way first, then to the numbers that the command line names."""
    high = {wanted: os.dup2(fd, 500 + wanted) for wanted, fd in fds.items()}
    for wanted, fd in high.items():
        os.dup2(fd, wanted, inheritable=True)


def first_byte(link, folder, keep):
    """Waits for the agent's on that socket."""
    client = keep.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(link)
    client.settimeout(300)
    client.sendall(b"BANGER-LINK 1 " + b"0" * 32 + b"\n")
    if not client.recv(1):
        with open(f"{folder}/stderr", encoding="utf-8", errors="replace") as f:
            raise Failed("by hand: " + f.read()[-2000:])


def by_hand(command, folder, vm_folder, memory_mib):
    """Seconds from exec to the first byte of the agent, with fresh disks, sockets and memory. The server's sandbox is on the
    other side only."""
    with contextlib.ExitStack() as keep:
        memory = os.memfd_create("memory")
        keep.callback(os.close, memory)
        os.ftruncate(memory, memory_mib << 20)
        command, fds, sockets = own_devices(command, folder, vm_folder, memory, keep)
        errors = keep.enter_context(open(f"{folder}/stderr", "wb"))
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                                   close_fds=False, preexec_fn=lambda: placed(fds))
        try:
            first_byte(sockets["link"], folder, keep)
            return time.monotonic() - start
        finally:
            process.kill()
            process.wait()


def measure(server, rounds):
    ours, hand, cpu = [], [], []
    for i in range(rounds):
        start = time.monotonic()
        vm = server.create(f"boot{i}", boot="cold")
        ours.append(time.monotonic() - start)
        pid = server.vmm_pid(vm["id"])
        cpu.append(machine.cpu_s(pid))
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            command = f.read().decode().rstrip("\0").split("\0")
        command[0] = shutil.which("qemu-system-x86_64")
        with tempfile.TemporaryDirectory(prefix="bgfloor-", dir="/tmp") as folder:
            hand.append(by_hand(command, folder, f"{server.home}/state/vms/{vm['id']}", SHAPE["memory_mib"]))
        server.delete(vm["name"])
    yield figure("cold boot: POST /vms to running", ours, "s", [beside("by hand, to the agent's first byte", hand)],
                 goal=at_most_times(1.05))
    yield figure("CPU of a cold boot", cpu, "s", goal=at_most(2.5))
