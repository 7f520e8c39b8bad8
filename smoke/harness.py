# SPDX-License-Identifier: Apache-2.0
"""The server that smoke tests talk to, the commands they run, and the registry of scenarios.

Everything is kept apart from the user's own banger: config, state and cache below the build folder
(kernels and images stay for the next run), a new runtime folder each time.
"""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import string
import subprocess
import tempfile
import time

PURE = "pure"  # independent of all others: run in parallel
REPO = "repo"  # share a git repository: one after the other
GLOBAL = "global"  # disturb everything: last, one after the other
CLASSES = (PURE, REPO, GLOBAL)


class Failed(Exception):
    """What a scenario saw is not what it should be."""


class Skip(Exception):
    """What a scenario needs is not here."""


class Scenario:
    def __init__(self, function, description, kind, asked):
        self.name = function.__name__
        self.function = function
        self.description = description
        self.kind = kind
        self.asked = asked


registry = {}


def scenario(description, kind=PURE, asked=False):
    """Registers a function `f(t)` as a scenario of the same name. With `asked` it is long, and run only by its name."""

    def register(function):
        assert kind in CLASSES and function.__name__ not in registry
        registry[function.__name__] = Scenario(function, description, kind, asked)
        return function

    return register


def expect(condition, message, *details):
    if not condition:
        raise Failed("\n".join([message, *map(str, details)]))


class Reply:
    def __init__(self, status, headers, body, trailers):
        self.status = status
        self.headers = headers
        self.body = body
        self.trailers = trailers

    @property
    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """One banger-server with folders of its own."""

    def __init__(self, build, folder, port=0):
        self.binary = os.path.join(build, "server", "banger-server")
        self.banger = os.path.join(build, "cli", "banger")
        self.folder = folder
        self.runtime = tempfile.mkdtemp(prefix="banger-smoke-")
        self.port = port
        self.log = os.path.join(folder, "server.log")
        self.process = None
        self.env = dict(os.environ, LC_ALL="C.UTF-8", HOME=os.path.join(folder, "home"))
        for name in ("BANGER_HOME", "BANGER_SERVER", "BANGER_TOKEN"):
            self.env.pop(name, None)
        for kind in ("config", "state", "cache"):
            self.env[f"XDG_{kind.upper()}_HOME"] = os.path.join(folder, kind)
        self.env["XDG_RUNTIME_DIR"] = self.runtime
        os.makedirs(self.env["HOME"], exist_ok=True)
        self.socket = os.path.join(self.runtime, "banger", "server.sock")

    def start(self, args=(), wrapper=()):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, self.binary, "--listen", f"127.0.0.1:{self.port}", *args],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"the server ended at once:\n{self.log_tail()}")
            try:
                if self.request("GET", "/healthz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise Failed(f"the server does not answer:\n{self.log_tail()}")

    def log_tail(self, lines=15):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Politely; its VMs go on."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def stop(self):
        """Ends the server and every VM it left, and removes the runtime folder."""
        self.end()
        left = self.guests()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.runtime, ignore_errors=True)
        return left

    def guests(self):
        """Pids of processes whose command line names our runtime or state folder."""
        pids = []
        marks = [self.runtime.encode(), self.env["XDG_STATE_HOME"].encode()]
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in (os.getpid(), self.process.pid if self.process else 0):
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    line = f.read()
            except OSError:
                continue
            if any(mark in line for mark in marks) and b"smoke/run" not in line:
                pids.append(int(name))
        return pids

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = UnixConnection(self.socket, timeout)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read(), {})
        finally:
            connection.close()


class Result:
    def __init__(self, status, out, err, seconds):
        self.status = status
        self.raw_out = out
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")
        self.seconds = seconds

    def __str__(self):
        return f"exit status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Test:
    """What a scenario gets. VMs whose names come from name() are deleted afterwards."""

    def __init__(self, server, scenario_name, options):
        self.server = server
        self.scenario = scenario_name
        self.options = options
        self.names = []
        self.transcript = []

    def name(self):
        tail = "".join(random.choices(string.ascii_lowercase, k=5))
        self.names.append(f"smoke-{tail}")
        return self.names[-1]

    def note(self, text):
        self.transcript.append(text)

    def run(self, argv, timeout=180, stdin=None, env=None, cwd=None):
        begun = time.monotonic()
        done = subprocess.run(argv, env=env or self.server.env, input=stdin, cwd=cwd, timeout=timeout,
                              stdin=subprocess.DEVNULL if stdin is None else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        result = Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
        self.note(f"$ {' '.join(map(str, argv))}\n{result}")
        return result

    def banger(self, *args, **kwargs):
        return self.run([self.server.banger, *args], **kwargs)

    def popen(self, *args):
        """A `banger` that goes on in the background, with its output in pipes."""
        return subprocess.Popen([self.server.banger, *args], env=self.server.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ok(self, *args, **kwargs):
        result = self.banger(*args, **kwargs)
        expect(result.status == 0, f"banger {' '.join(args)} failed", result)
        return result.out

    def curl(self, path, *args):
        return self.run(["curl", "-sS", "--unix-socket", self.server.socket, f"http://localhost{path}", *args])

    def api(self, method, path, body=None, headers=None):
        reply = self.server.request(method, path, body, headers)
        self.note(f"{method} {path} {body or ''} -> {reply.status}\n{reply.body.decode(errors='replace')}")
        return reply

    def vm(self, name):
        """The VM as the API shows it, or None."""
        reply = self.api("GET", f"/vms/{name}")
        return reply.json if reply.status == 200 else None

    def create(self, **shape):
        """A running VM; its name."""
        body = {"name": self.name(), "image": "mini", "vcpus": 1, "memory_mib": 256, **shape}
        reply = self.api("POST", "/vms", body, {"Prefer": "wait=120"})
        expect(reply.status == 201, "the VM was not created", reply.body.decode())
        return body["name"]

    def execute(self, vm, *argv, timeout=180):
        """Standard output of a command in a VM, stripped."""
        return self.ok("vm", "exec", vm, "--", *argv, timeout=timeout).strip()

    def wait_for(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        raise Failed(f"{what}: not within {seconds} s")

    def clean_up(self):
        for name in self.names:
            try:
                self.server.request("DELETE", f"/vms/{name}", headers={"Prefer": "wait=60"})
            except OSError:
                pass

    def save_artefacts(self, folder):
        """Transcript, console logs, events and the server's log of a scenario that failed."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "transcript.txt"), "w") as f:
            f.write("\n\n".join(self.transcript))
        with open(os.path.join(folder, "server.log"), "w") as f:
            f.write(self.server.log_tail(400))
        for path, file in [("/operations?limit=50", "operations.json"), ("/doctor", "doctor.json"),

                           *[(f"/vms/{n}/logs", f"console-{n}.log") for n in self.names]]:
            try:
                body = self.server.request("GET", path, timeout=10).body
            except OSError:
                continue
            with open(os.path.join(folder, re.sub(r"[^\w.-]", "_", file)), "wb") as f:
                f.write(body)
        # A stream without an end: what it replays comes at once.
        events = self.curl("/events?since=0", "-N", "-m", "2", "-H", "Accept: application/x-ndjson")
        with open(os.path.join(folder, "events.ndjson"), "wb") as f:
            f.write(events.raw_out)
