# SPDX-License-Identifier: Apache-2.0
"""A fork of a running VM: how long it stands still and what is written, beside a plain copy of the memory it has touched."""
import os
import statistics
import tempfile
import time

from figures import at_most, at_most_times, beside, figure

TOUCHED_MIB = 96


def touch(server, vm):
    """So that the guest has used some of its memory, with bytes that do not compress."""
    server.execute(vm, "sh", "-c", f"mount -t tmpfs none /mnt && dd if=/dev/urandom of=/mnt/x bs=1M count={TOUCHED_MIB} 2>/dev/null")


def touched_bytes(pid):
    """Of the guest's memory, that of a VM that was booted: it is in a memfd."""
    sizes = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        if "memfd:" in os.readlink(path):
            sizes.append(os.stat(path).st_blocks * 512)
    return max(sizes)


def plain_copy_ms(count, flush):
    """Milliseconds to write so many bytes to a new file where the server's are."""
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir="/tmp") as f:
        begun = time.monotonic()
        for _ in range(count >> 20):
            f.write(block)
        f.flush()
        if flush:
            os.fsync(f.fileno())
        return (time.monotonic() - begun) * 1000


def written_bytes(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/io", encoding="ascii") as f:
            total += int(next(line for line in f if line.startswith("write_bytes:")).split()[1])
    return total


def stood_still_ms(operation):
    """From the pause's begin to the end of the step in which it goes on."""
    stages = {stage["name"]: stage for stage in operation["stages"]}
    return stages["resume"]["start_ms"] + stages["resume"].get("duration_ms", 0) - stages["pause"]["start_ms"]


def last_operation(server, kind, vm_id):
    """Of that kind on that VM, the newest; None: there is none."""
    found = [op for op in server.call("GET", "/operations")["items"] if kind in op["kind"] and op.get("target") == vm_id]
    return max(found, key=lambda op: op["created"]) if found else None


def measure(server, rounds):
    vm = server.create("parent", boot="cold")
    server.wait_for_quiet()
    touch(server, "parent")
    pid = server.vmm_pid(vm["id"])
    still, copies, written, touched = [], [], [], []
    for _ in range(rounds):
        touched.append(touched_bytes(pid))
        before = written_bytes([server.process.pid, pid])
        children = server.call("POST", "/vms/parent/fork", {"count": 1})["children"]
        server.wait_for_quiet()
        written.append(written_bytes([server.process.pid, pid]) - before)
        still.append(stood_still_ms(last_operation(server, "fork", vm["id"])))
        for child in children:
            server.delete(child["name"])
        copies.append(plain_copy_ms(touched[-1], flush=False))
    server.delete("parent")
    yield figure("fork: the parent stands still", still, "ms", [beside("a plain copy of the memory it has touched", copies)],
                 goal=at_most(50 + statistics.median(copies)), note="the goal is 50 ms and the copy")
    yield figure("fork: written to disk", [n / 1048576 for n in written], "MiB",
                 [beside("memory that the guest has touched", [n / 1048576 for n in touched])], goal=at_most_times(1.2),
                 note="by server and VMM, disk included")
