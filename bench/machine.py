# SPDX-License-Identifier: Apache-2.0
"""What can be read about processes and the machine, and small servers to measure beside."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from figures import Failed


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name):
    """Its path, where daemons are too; None: not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/lib/qemu")


def cpu_s(pid):
    """Of the process and its threads, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def rollup_kib(pid):
    """Rss, Pss, Private_Dirty, … counted page by page: VmRSS of a process with few page faults is behind."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", f.read(), re.M)}


def processes_below(pid):
    """A process and all that come of it."""
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as f:
                    found += [int(child) for child in f.read().split()]
        except OSError:
            continue
    return found


def wait_until(condition, what, timeout=60, step=0.01):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"after {timeout} s still not: {what}")
        time.sleep(step)


def stop(process):
    """Ends a process that the benchmark started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@contextlib.contextmanager
def nginx(path, body):
    """One worker that serves `body` as the file `path`: its socket and its port. (None, None): not installed."""
    binary = program("nginx")
    if not binary:
        yield None, None
        return
    with tempfile.TemporaryDirectory(prefix="bgnginx-", dir="/tmp") as folder:
        port = free_port()
        file = f"{folder}/root{path}"
        os.makedirs(os.path.dirname(file))
        os.chmod(folder, 0o755)
        with open(file, "wb") as f:
            f.write(body)
        with open(f"{folder}/nginx.conf", "w", encoding="ascii") as f:
            f.write(f"""worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log; events {{ }}
http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=100; default_type application/json;
keepalive_requests 100000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; listen unix:{folder}/nginx.sock; root {folder}/root; }} }}
""")
        process = subprocess.Popen([binary, "-p", folder, "-c", f"{folder}/nginx.conf"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            if process.poll() is not None:
                with open(f"{folder}/log", encoding="utf-8") as f:
                    raise Failed(f"nginx: {f.read()}")
            with socket.socket(socket.AF_UNIX) as s:
                return s.connect_ex(f"{folder}/nginx.sock") == 0
        try:
            wait_until(listens, "nginx listens")
            yield f"{folder}/nginx.sock", port
        finally:
            stop(process)
