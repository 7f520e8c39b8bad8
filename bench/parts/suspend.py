# SPDX-License-Identifier: Apache-2.0
"""Suspension and waking: time beside a plain copy of the touched memory to disk and a cold boot, and what is written."""
import os
import time

from figures import at_most_times, beside, figure
from parts.fork import plain_copy_ms, touch, touched_bytes


def allocated(folder):
    return sum(os.stat(f"{folder}/{name}").st_blocks * 512 for name in os.listdir(folder))


def timed_ms(work, *args):
    begun = time.monotonic()
    work(*args)
    return (time.monotonic() - begun) * 1000


def measure(server, rounds):
    down, copies, written, touched, up, cold = [], [], [], [], [], []
    for i in range(rounds):
        name = f"sleeper{i}"
        begun = time.monotonic()
        vm = server.create(name, boot="cold")
        server.execute(name, "true")
        cold.append((time.monotonic() - begun) * 1000)
        server.wait_for_quiet()
        touch(server, name)
        touched.append(touched_bytes(server.vmm_pid(vm["id"])))
        down.append(timed_ms(server.call, "POST", f"/vms/{name}/suspend"))
        written.append(allocated(f"{server.home}/state/vms/{vm['id']}/suspend"))
        up.append(timed_ms(server.execute, name, "true"))
        server.delete(name)
        copies.append(plain_copy_ms(touched[-1], flush=True))
    yield figure("suspend: POST to suspended", down, "ms", [beside("plain copy of the touched memory, flushed", copies)],
                 note="with checksums of all that is kept")
    yield figure("suspend: kept on disk", [n / 1048576 for n in written], "MiB",
                 [beside("memory that the guest has touched", [n / 1048576 for n in touched])], goal=at_most_times(1.2))
    yield figure("a command wakes it: POST to its end", up, "ms", [beside("a cold boot and the command", cold)])
