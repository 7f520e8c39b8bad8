# SPDX-License-Identifier: Apache-2.0
"""What the machine is that a report was made on, and the programs that took part."""
import os
import re
import subprocess
import time

import machine

# How each program says its version; the first number with a dot in the first line is taken.
PROGRAMS = {"qemu-system-x86_64": ["--version"], "passt": ["--version"], "nginx": ["-v"], "wrk": ["-v"], "ssh": ["-V"],
            "skopeo": ["--version"], "umoci": ["--version"], "mksquashfs": ["-version"], "docker-registry": ["--version"],
            "libvirtd": ["--version"], "crun": ["--version"]}


def version_of(name, options):
    """None: not installed."""
    path = machine.program(name)
    if not path:
        return None
    try:
        done = subprocess.run([path, *options], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return "does not say"
    found = re.search(r"\d+\.\d+[\w.]*", (done.stdout + done.stderr).partition("\n")[0])
    return found.group(0) if found else "does not say"


def first(pattern, path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        found = None
    return found.group(1).strip().strip('"') if found else "unknown"


def file_system(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def commit():
    """Of the sources; "" where they are no checkout."""
    try:
        done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"],
                              capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return f", {done.stdout.strip()}" if done.returncode == 0 else ""


def gather(server):
    """In the order of the report. Before the first part: the load is what others do, not the benchmarks."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        cpuinfo = f.read()
    version = server.call("GET", "/version")
    model = first(r"^model name\s*: (.*)$", "/proc/cpuinfo")
    memory_kib = int(first(r"^MemTotal:\s+(\d+)", "/proc/meminfo"))
    hardware = re.search(r"^flags\b.*\b(vmx|svm)\b", cpuinfo, re.M) and os.access("/dev/kvm", os.W_OK)
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "banger": f"{version.get('version', 'unknown')}{commit()}",
            "processor": f"{os.cpu_count()} × {model}",
            "memory": f"{memory_kib / 1048576:.1f} GiB",
            "kernel": f"{os.uname().sysname} {os.uname().release}",
            "system": first(r"^PRETTY_NAME=(.*)$", "/etc/os-release"),
            "in a virtual machine": "yes" if re.search(r"^flags\b.*\bhypervisor\b", cpuinfo, re.M) else "no",
            "acceleration of guests": "hardware (KVM)" if hardware else "none: software emulation",
            "file system of /tmp": file_system("/tmp"),
            "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
            **{name: version_of(name, options) or "not installed" for name, options in PROGRAMS.items()}}
