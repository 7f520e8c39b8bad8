# SPDX-License-Identifier: Apache-2.0
"""What is resident: the server at rest and after work, the agent."""
import os
import re
import subprocess
import shutil
import tempfile
import time

import machine
from figures import Figure, at_most


def idle_server_kib(build):
    fresh = tempfile.mkdtemp(prefix="bgidle-", dir="/tmp")
    process = subprocess.Popen([f"{build}/server/banger-server", "--home", fresh, "--no-tcp"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        return machine.rss_kib(process.pid)
    finally:
        machine.stop(process)
        shutil.rmtree(fresh)


def measure(server, _rounds):
    yield Figure("server, idle", idle_server_kib(server.build) / 1024, "MiB", goal=at_most(10))
    yield Figure("server, after the parts before", server.rss_kib() / 1024, "MiB")
    server.create("memory")
    # Counted page by page: VmRSS of a process with few page faults is behind.
    rollup = server.execute("memory", "cat", "/proc/1/smaps_rollup")
    server.delete("memory")
    yield Figure("agent, resident", int(re.search(r"Rss:\s+(\d+)", rollup).group(1)) / 1024, "MiB", goal=at_most(2))
    yield Figure("agent, file", os.path.getsize(f"{server.build}/agent/banger-agent") / 1048576, "MiB", goal=at_most(1.5))
