# SPDX-License-Identifier: Apache-2.0
"""POST /vms from a template until a command has run in it, beside the cold boot and the same VMM restored by hand."""
import array
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from figures import Failed, at_most, at_most_times, beside, figure
from parts.boot import first_byte, own_devices, placed
from server import SHAPE


def to_first_command(server, name, look=None, **fields):
    """Seconds; `look` sees the VM before it goes."""
    start = time.monotonic()
    vm = server.create(name, **fields)
    server.execute(name, "true")
    took = time.monotonic() - start
    if look:
        look(vm)
    server.delete(name)
    return took


class Monitor:
    """The VMM's own protocol (QMP), as far as a restore needs it."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.lines = self.sock.makefile("r", encoding="utf-8")
        self.lines.readline()  # the greeting
        self.call("qmp_capabilities")

    def call(self, command, fd=None, **arguments):
        text = json.dumps({"execute": command, "arguments": arguments}).encode()
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.sock.sendmsg([text], rights)
        while True:
            reply = json.loads(self.lines.readline())
            if "error" in reply:
                raise Failed(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def close(self):
        self.lines.close()
        self.sock.close()


def load(monitor, state):
    monitor.call("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
    monitor.call("getfd", fd=state, fdname="state")
    monitor.call("migrate-incoming", uri="fd:state")
    while monitor.call("query-status")["status"] == "inmigrate":
        time.sleep(0.001)
    monitor.call("cont")


def by_hand(command, folder, vm_folder, template):
    """Seconds from exec to the first byte of the agent. The memory is mapped, as the server has it; it was read before."""
    with contextlib.ExitStack() as keep:
        memory = keep.enter_context(open(f"{template}/memory", "rb"))
        state = keep.enter_context(open(f"{template}/state", "rb"))
        command, fds, sockets = own_devices(command, folder, vm_folder, memory.fileno(), keep)
        errors = keep.enter_context(open(f"{folder}/stderr", "wb"))
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                                   close_fds=False, preexec_fn=lambda: placed(fds))
        try:
            monitor = Monitor(sockets["qmp"])
            load(monitor, state.fileno())
            first_byte(sockets["link"], folder, keep)
            took = time.monotonic() - start
            monitor.close()
            return took
        finally:
            process.kill()
            process.wait()


def template_folder(server):
    """Of the one that was used last."""
    last = max(server.call("GET", "/templates")["items"], key=lambda template: template["last_used"])
    return f"{server.home}/state/templates/{last['id']}"


def measure(server, rounds):
    server.create("seed")
    server.wait_for_template()
    cold, ready, restored, hand = [], [], [], []

    def restore_by_hand(vm):
        with open(f"/proc/{server.vmm_pid(vm['id'])}/cmdline", "rb") as f:
            command = f.read().decode().rstrip("\0").split("\0")
        command[0] = shutil.which("qemu-system-x86_64")
        with tempfile.TemporaryDirectory(prefix="bgfloor-", dir="/tmp") as folder:
            hand.append(by_hand(command, folder, f"{server.home}/state/vms/{vm['id']}", template_folder(server)))

    def one_by_hand(name):
        server.wait_for_ready()
        to_first_command(server, name, restore_by_hand)

    for i in range(rounds):
        cold.append(to_first_command(server, f"cold{i}", boot="cold"))
        for k in range(3):
            server.wait_for_ready()
            ready.append(to_first_command(server, f"ready{i}-{k}"))
        one_by_hand(f"hand{i}")
    server.restart(config="[templates]\nstandby = 0\n")
    to_first_command(server, "again")  # reads the template once
    for i in range(rounds):
        restored += [to_first_command(server, f"restored{i}-{k}") for k in range(3)]
        to_first_command(server, f"hands{i}", restore_by_hand)
    server.delete("seed")
    server.restart(config="")
    by = beside("restored by hand, to the agent's first byte", hand)
    what = "POST /vms to the first command's end"
    yield figure(f"{what}, one kept ready", ready, "s", [beside("cold boot", cold)], goal=at_most_times(0.1))
    yield figure(f"{what}, one kept ready, p50", ready, "s", [by], goal=at_most_times(1.15),
                 note="by hand without an identity and without a command")
    yield figure(f"{what}, none kept ready, p50", restored, "s", [beside("cold boot", cold), by], goal=at_most(0.35))
