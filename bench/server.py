# SPDX-License-Identifier: Apache-2.0
"""The server that is measured: a home of its own in /tmp, removed at the end."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import machine
from figures import Failed

# Of every VM that a part does not want otherwise.
SHAPE = {"image": "mini", "vcpus": 1, "memory_mib": 256, "network": "none"}


# The server closes a connection that is idle for some time; one that was used so lately is not.
FRESH_S = 10


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    def __init__(self, build, mib):
        self.build = build
        self.mib = mib  # to stream
        self.home = tempfile.mkdtemp(prefix="bgbench-", dir="/tmp")
        self.socket = f"{self.home}/run/server.sock"
        self.port = machine.free_port()
        self.log = open(f"{self.home}/log", "wb")
        self.command = [f"{build}/server/banger-server", "--home", self.home, "--listen", f"127.0.0.1:{self.port}"]
        self.spawn(self.command)

    def spawn(self, command):
        """Milliseconds from exec to the first reply."""
        begun = self.used = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while True:
            try:
                self.connection = self.connect()
                self.call("GET", "/version")
                return (time.monotonic() - begun) * 1000
            except OSError:
                if self.process.poll() is not None:
                    with open(f"{self.home}/log", encoding="utf-8", errors="replace") as f:
                        raise Failed(f"the server ended: {f.read()[-2000:]}") from None
                time.sleep(0.002)

    def connect(self):
        return Connection(self.socket)

    def restart(self, command=None, config=None):
        """Milliseconds until it is ready; as another command, with that configuration."""
        machine.stop(self.process)
        if config is not None:
            os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
            with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
                f.write(config)
        return self.spawn(command or self.command)

    def call(self, method, path, body=None, wait=300):
        if time.monotonic() - self.used > FRESH_S:
            self.connection.close()  # the request makes a new one
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                {"Prefer": f"wait={wait}", "Content-Type": "application/json"})
        reply = self.connection.getresponse()
        data = reply.read()
        self.used = time.monotonic()
        if reply.status >= 300:
            raise Failed(f"{method} {path}: {reply.status} {data[:2000]!r}")
        return json.loads(data) if data else None

    def create(self, name, **fields):
        return self.call("POST", "/vms", {"name": name, **SHAPE, **fields})

    def execute(self, vm, *argv, stdin=None):
        """Its standard output; another exit status than 0 fails the part."""
        body = {"argv": list(argv)}
        if stdin is not None:
            body["stdin"] = stdin
        result = self.call("POST", f"/vms/{vm}/exec", body)
        if result["exit_code"] != 0:
            raise Failed(f"{argv}: {result}")
        return result["stdout"]

    def delete(self, vm):
        self.call("DELETE", f"/vms/{vm}")

    def reset(self):
        """After a part that failed: a server that runs, a connection that knows of no request, and no VMs."""
        self.connection.close()
        if self.process.poll() is None:
            self.connection = self.connect()
        else:
            self.spawn(self.command)
        self.delete_all()

    def delete_all(self):
        while True:
            items = self.call("GET", "/vms?limit=1000")["items"]
            if not items:
                return
            for vm in items:
                self.delete(vm["name"])

    def wait_for_template(self):
        """It is captured in the background: what is measured meanwhile shares the processor with a boot."""
        while not self.call("GET", "/templates")["items"]:
            time.sleep(0.2)
        self.wait_for_quiet()

    def wait_for_ready(self):
        """Until the next VM of SHAPE is kept ready, and nothing else is under way."""
        while not any(template["standby"] and template["memory_mib"] == SHAPE["memory_mib"]
                      for template in self.call("GET", "/templates")["items"]):
            time.sleep(0.05)
        self.wait_for_quiet()

    def wait_for_quiet(self):
        """Until no operation is under way, those that the server began by itself included."""
        time.sleep(0.5)
        while any(op["state"] in ("queued", "running") for op in self.call("GET", "/operations")["items"]):
            time.sleep(0.2)

    def vmm_pid(self, vm_id):
        with open(f"{self.home}/run/vm/{vm_id}/vmm.pid", encoding="ascii") as f:
            return int(f.read().split()[0])

    def rss_kib(self):
        return machine.rss_kib(self.process.pid)

    def close(self):
        try:
            self.delete_all()
        finally:
            machine.stop(self.process)
            self.log.close()
            shutil.rmtree(self.home, ignore_errors=True)
