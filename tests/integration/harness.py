# SPDX-License-Identifier: Apache-2.0
"""A real server on a home of its own, real guests, and what is left behind afterwards.

Kernel, image and a warm template are prepared once a build folder and given to each test by hard link, so
that a test's first VM takes a fraction of a second. Every answer is held against the OpenAPI document.

From the environment: BANGER_SERVER, BANGER_AGENT (programs) and BANGER_BASE (folder of the prepared home).
"""
import contextlib
import fcntl
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

from validate import Document  # noqa: E402

SERVER = os.environ["BANGER_SERVER"]
AGENT = os.environ["BANGER_AGENT"]
BASE = os.environ["BANGER_BASE"]

# The shape that the prepared template has.
SHAPE = {"vcpus": 1, "memory_mib": 128, "disk_mib": 64, "network": "none"}

SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|"
                       r"WARNING: ThreadSanitizer|assertion|Assertion")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def wait_until(condition, what, timeout=60, step=0.05):
    """Polls; tests have no other way to see what happens in another process."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(step)


def processes_naming(text):
    """Pids of processes that carry the text in their command line, this one not among them."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            if text in line:
                found[int(entry)] = line
    return found


def with_libraries(*programs):
    """Paths of programs of this host and of what they load."""
    found = set(programs)
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"(/\S+) \(0x", listed))
    return sorted(found)


class Server:
    """One home; a server on it that may be killed and started again."""

    document = None

    def __init__(self, home, args=(), env=None):
        self.home = home
        self.args = list(args)
        self.env = dict(env or {})
        self.program = SERVER
        self.process = None
        self.killed = False
        self.socket = f"{home}/run/server.sock"
        self.log_path = f"{home}/server.log"

    # --- life ---

    def spawn(self, extra_args=(), extra_env=None):
        command = [self.program, "--home", self.home, "--no-tcp", "--agent", AGENT]
        self.killed = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command + self.args + list(extra_args), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            env={**os.environ, **self.env, **(extra_env or {})})

    def start(self, extra_args=(), extra_env=None, timeout=60):
        self.spawn(extra_args, extra_env)
        wait_until(self.answers, "the server answers", timeout)
        if Server.document is None:
            Server.document = Document(json.loads(self.raw("GET", "/openapi.json").body))
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return self.raw("GET", "/healthz", timeout=5).status == 200
        except OSError:
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """As a crash would."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=60):
        """Politely; a sanitizer's finding is a failure."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server does not end:\n{self.log()[-3000:]}") from None
        if not self.killed and self.process is not None and self.process.returncode != 0:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()[-6000:]}")
        found = SANITIZER.search(self.log())
        if found:
            raise AssertionError(self.log()[max(0, found.start() - 200):][:8000])

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    # --- requests ---

    def raw(self, method, target, body=None, headers=None, timeout=300):
        connection = UnixConnection(self.socket, timeout)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            # A server that refuses a body need not read it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read()
            return Reply(response.status, response.headers, data)
        finally:
            connection.close()

    def call(self, method, target, body=None, headers=None, timeout=300):
        reply = self.raw(method, target, body, headers, timeout)
        self.document.check(method, target, reply.status, reply.headers.get("Content-Type", ""), reply.body)
        return reply

    def must(self, status, method, target, body=None, wait=None, headers=None):
        headers = dict(headers or {})
        if wait:
            headers["Prefer"] = f"wait={wait}"
        reply = self.call(method, target, body, headers)
        if reply.status != status:
            raise AssertionError(f"{method} {target}: {status} expected, not {reply}\n{self.log()[-2500:]}")
        return reply.json() if reply.body and "json" in reply.headers.get("Content-Type", "") else reply

    def create(self, name, **fields):
        return self.must(201, "POST", "/vms", {"name": name, "image": "mini", **SHAPE, **fields}, wait=240)

    def run(self, vm, *argv, **fields):
        """Standard output of a command that must succeed."""
        result = self.must(200, "POST", f"/vms/{vm}/exec", {"argv": list(argv), **fields})
        if result["exit_code"] != 0:
            raise AssertionError(f"{argv}: {result}")
        return result["stdout"]

    def give(self, vm, *programs):
        """The host's own programs, and the libraries that they load; the image mini has hardly any."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path in with_libraries(*programs):
                tar.add(os.path.realpath(path), path)
        self.must(204, "PUT", f"/vms/{vm}/files/?tar=true", data.getvalue(), headers={"Content-Type": "application/x-tar"})

    def delete(self, vm):
        return self.must(204, "DELETE", f"/vms/{vm}", wait=120)

    def operation(self, op_id):
        return self.must(200, "GET", f"/operations/{op_id}")

    def wait_operation(self, op_id, timeout=240):
        return wait_until(lambda: (lambda o: o if o["state"] not in ("queued", "running") else None)(
            self.operation(op_id)), f"operation {op_id} ends", timeout)

    def state(self, vm):
        return self.must(200, "GET", f"/vms/{vm}")["state"]

    def names(self):
        return sorted(vm["name"] for vm in self.must(200, "GET", "/vms?limit=1000")["items"])

    # --- what is there ---

    def vmms(self):
        """Processes that belong to this home, except for the server itself and what it keeps ready."""
        own = self.process.pid if self.process else 0
        ready = self.ready()
        return {pid: line for pid, line in processes_naming(self.home).items()
                if pid != own and not any(vm in line for vm in ready)}

    def ready(self):
        """Ids of the VMs that are kept ready, once none is on its way. Those of a dead server are told by a name that is their id."""
        if self.alive():
            with contextlib.suppress(OSError, http.client.HTTPException):
                wait_until(lambda: not [o for o in self.raw("GET", "/operations?limit=1000").json()["items"]
                                        if o["kind"].startswith("template.standby") and o["state"] in ("queued", "running")],
                           "no VM is on its way to be kept ready, or no longer", 120)
                return [t["standby"] for t in self.raw("GET", "/templates").json()["items"] if t["standby"]]
        named = {found.group(1) for line in processes_naming(self.home).values()
                 if (found := re.search(r"guest=([0-9a-z]{16}),.*/vms/\1/", line))}
        return [vm for vm in named if not self.has_row(vm)]

    def has_row(self, vm):
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/state/state.db?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM vms WHERE id = ?", (vm,)).fetchone() is not None

    def rows(self, table):
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/state/state.db?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def descriptors(self):
        """Of the server, except for one for each VM that is kept ready."""
        ready = len(self.ready())
        return len(os.listdir(f"/proc/{self.process.pid}/fd")) - ready

    def leftovers(self):
        """Of VMs, when there should be none."""
        found = [f"process {pid}: {line[:200]}" for pid, line in self.vmms().items()]
        ready = self.ready()
        for folder in ("state/vms", "run/vm"):
            with contextlib.suppress(FileNotFoundError):
                found += [f"{folder}/{name}" for name in os.listdir(f"{self.home}/{folder}") if name not in ready]
        rows = self.rows("vms")
        if rows:
            found.append(f"{rows} rows of VMs")
        return found


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def clone(base, home):
    """What never changes once written is shared; the rest is copied."""
    os.makedirs(f"{home}/state", mode=0o700, exist_ok=True)
    for folder in ("state/images", "state/kernels", "state/templates", "cache"):
        if os.path.isdir(f"{base}/{folder}"):
            shutil.copytree(f"{base}/{folder}", f"{home}/{folder}", symlinks=True, copy_function=link_or_copy)
    shutil.copy2(f"{base}/state/state.db", f"{home}/state/state.db")


def prepare():
    """The base: kernel, image, and a template of SHAPE. Once a build folder, whoever comes first."""
    os.makedirs(BASE, mode=0o700, exist_ok=True)
    with open(f"{BASE}/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = f"{BASE}/ready"
        with open(AGENT, "rb") as f:
            wanted = f"{hashlib.sha256(f.read()).hexdigest()} {json.dumps(SHAPE)}"
        with open(f"{os.path.dirname(os.path.abspath(__file__))}/../../server/store/schema.c", "rb") as f:
            wanted += f" {hashlib.sha256(f.read()).hexdigest()}"
        with contextlib.suppress(FileNotFoundError):
            with open(stamp, encoding="ascii") as f:
                if f.read() == wanted:
                    return
        home = tempfile.mkdtemp(prefix="bgb-", dir="/tmp")
        kept = f"{BASE}/home"
        server = Server(home)
        server.env["HOME"] = home  # nothing of whoever runs the tests
        try:
            # Packages that were downloaded for an earlier base.
            if os.path.isdir(f"{kept}/cache"):
                shutil.copytree(f"{kept}/cache", f"{home}/cache", symlinks=True, copy_function=link_or_copy)
            server.start()
            server.must(201, "POST", "/kernels", {"import": "debian-cloud"}, wait=600)
            server.must(201, "POST", "/images", {"build": "mini"}, wait=600)
            server.create("base")
            wait_until(lambda: [o for o in server.must(200, "GET", "/operations")["items"]
                                if o["kind"] == "template.build" and o["state"] == "succeeded"],
                       "the template is built", 400, 0.5)
            server.delete("base")
            server.stop()
            shutil.rmtree(kept, ignore_errors=True)
            clone(home, kept)
            with open(stamp, "w", encoding="ascii") as f:
                f.write(wanted)
        finally:
            if server.alive():
                server.kill()
            end_vmms(server)
            shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def base_server():
    """A server with kernel, image and template of the base, for programs that are no unittest; nothing of it stays."""
    prepare()
    home = tempfile.mkdtemp(prefix="bgm-", dir="/tmp")
    clone(f"{BASE}/home", home)
    server = Server(home).start()
    try:
        yield server
        server.stop()
    finally:
        if server.alive():
            server.kill()
        end_vmms(server)
        shutil.rmtree(home, ignore_errors=True)


def end_vmms(server):
    for pid in processes_naming(server.home):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class LifeTest(unittest.TestCase):
    """Each test has a home; what it leaves behind is ended and reported."""

    warm = True  # with kernel, image and template
    standby = True  # a VM may be kept ready; where each operation and event counts, none is
    server_args = ()
    maxDiff = None

    def setUp(self):
        # Short: a socket's path has at most 108 bytes.
        self.home = tempfile.mkdtemp(prefix="bgt-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.server = Server(self.home, self.server_args)
        self.addCleanup(self.end)
        self.furnish()

    def furnish(self):
        if self.warm:
            prepare()
            clone(f"{BASE}/home", self.home)
        if not self.standby:
            os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
            with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
                f.write("[templates]\nstandby = 0\n")

    def end(self):
        try:
            if self.server.alive():
                self.server.stop()
        finally:
            end_vmms(self.server)

    def assert_nothing_left(self):
        try:
            wait_until(lambda: not self.server.leftovers(), "nothing is left", 30)
        except AssertionError:
            self.assertEqual([], self.server.leftovers())


if __name__ == "__main__":
    prepare()
