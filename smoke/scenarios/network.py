# SPDX-License-Identifier: Apache-2.0
"""Ports of a guest, NAT, names, and a helper that is killed: the last three on a bridge in networks of their own."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from smoke.harness import GLOBAL, Server, Skip, Test, expect, scenario

OUTSIDE = "192.0.2.2"
ANSWER = ("import socket; s = socket.create_server(('0.0.0.0', 7000)); print('ready', flush=True)\n"
          "while True: c, _ = s.accept(); c.sendall(b'outside-ok\\n'); c.close()")


@scenario("what listens in a guest, a forward of this host to it, and its end")
def ports(t):
    vm = t.create()
    t.execute(vm, "sh", "-c", "echo from-the-guest > /tmp/index.html; httpd -p 127.0.0.1:8000 -h /tmp")
    t.wait_for("the port", lambda: "8000" in t.ok("vm", "ports", vm))
    line = t.ok("vm", "forward", vm, "8000")
    port = [int(w.rsplit(":", 1)[-1]) for w in line.replace("->", " ").split() if ":" in w][0]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/index.html")
    expect(connection.getresponse().read() == b"from-the-guest\n", "not the guest's page")
    connection.close()
    t.ok("vm", "unforward", vm, str(port))
    with socket.socket() as s:
        expect(s.connect_ex(("127.0.0.1", port)) != 0, "the forward still listens")


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


class BridgedHost:
    """A host of its own: network namespace with an uplink to one other machine, helper, server and home."""

    def __init__(self, t):
        if os.geteuid() != 0:
            raise Skip("needs root for network namespaces, taps and nftables")
        self.build = os.path.dirname(os.path.dirname(t.server.binary))
        self.folder = tempfile.mkdtemp(prefix="bgsm-", dir="/tmp")
        # Kernel and image stay for the next run.
        self.home = os.path.join(t.options.folder, "bridged")
        self.processes = []
        self.helper = None
        self.server = None
        self.test = None
        self.options = t.options

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.make()
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.close()

    def namespace(self, *argv):
        process = subprocess.Popen(["unshare", "--net", *argv], stdout=subprocess.PIPE)
        self.processes.append(process)
        expect(process.stdout.readline() == b"ready\n", "no network namespace")
        return process.pid

    def make(self):
        outside = self.namespace("python3", "-c", ANSWER)
        host = self.namespace("sh", "-c", "echo ready; exec sleep 3600")
        self.inside = ["nsenter", f"--net=/proc/{host}/ns/net"]
        for argv in (["ip", "link", "set", "lo", "up"],
                     ["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", str(outside)],
                     ["ip", "addr", "add", "192.0.2.1/24", "dev", "up0"], ["ip", "link", "set", "up0", "up"],
                     ["ip", "route", "add", "default", "via", OUTSIDE],
                     ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]):
            run(*self.inside, *argv)
        for argv in (["addr", "add", f"{OUTSIDE}/24", "dev", "up1"], ["link", "set", "up1", "up"]):
            run("nsenter", f"--net=/proc/{outside}/ns/net", "ip", *argv)
        self.server = Server(self.build, self.home)
        config = os.path.join(self.server.env["XDG_CONFIG_HOME"], "banger")
        os.makedirs(config, exist_ok=True)
        with open(os.path.join(config, "banger.conf"), "w") as f:
            f.write(f"[network]\nhelper = {self.folder}/helper.sock\n")

    def start(self):
        # With the way out of the real host, for what is not there yet.
        self.server.start()
        self.test = Test(self.server, "bridged", self.options)
        if not self.server.request("GET", "/kernels").json["items"]:
            self.test.ok("kernel", "import", "debian-cloud", timeout=300)
        if "mini" not in self.test.ok("image", "list", "--quiet").split():
            self.test.ok("image", "build", "mini", timeout=300)
        self.server.end()
        self.start_helper()
        self.server.start(wrapper=self.inside)
        return self.test

    def start_helper(self):
        with open(os.path.join(self.folder, "helper.log"), "ab") as log:
            self.helper = subprocess.Popen(
                [*self.inside, os.path.join(self.build, "helper", "banger-helper"), "--owner-uid", "0", "--owner-gid", "0",
                 "--socket", f"{self.folder}/helper.sock", "--runtime-dir", f"{self.folder}/helper-run",
                 "--jail-dir", f"{self.folder}/jail"], stdin=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                if s.connect_ex(f"{self.folder}/helper.sock") == 0:
                    return
            time.sleep(0.05)
        expect(False, "the helper does not listen")

    def close(self):
        if self.test and self.server.process.poll() is None:
            self.test.clean_up()
        if self.server:
            self.server.stop()
        for process in [self.helper, *self.processes]:
            if process:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def reaches_outside(t, vm):
    return t.banger("vm", "exec", vm, "--", "sh", "-c", f"nc -w 3 {OUTSIDE} 7000 </dev/null").out == "outside-ok\n"


@scenario("NAT on the bridge: the way out, taken away and given back while the VM runs", kind=GLOBAL)
def nat(t):
    with BridgedHost(t) as host:
        h = host.start()
        vm = h.create(network="bridge", nat=True)
        expect(reaches_outside(h, vm), "no way out")
        h.ok("vm", "set", vm, "--no-nat")
        expect(not reaches_outside(h, vm), "still a way out")
        h.ok("vm", "set", vm, "--nat")
        expect(reaches_outside(h, vm), "no way out any more")


@scenario("kill -9 of the helper: VMs and their network go on, new ones work once it is back", kind=GLOBAL)
def helper_crash(t):
    with BridgedHost(t) as host:
        h = host.start()
        vm = h.create(network="bridge", nat=True)
        boot = h.execute(vm, "cat", "/proc/sys/kernel/random/boot_id")
        host.helper.kill()
        host.helper.wait()
        expect(reaches_outside(h, vm), "the network went with the helper")
        body = {"name": h.name(), "image": "mini", "vcpus": 1, "memory_mib": 256, "network": "bridge"}
        reply = h.api("POST", "/vms", body, {"Prefer": "wait=60"})
        expect(reply.status == 503 and reply.json["remedy"], "a VM on the bridge without a helper", reply.body)
        expect(h.vm(body["name"]) is None, "it left a row")
        host.start_helper()
        expect(reaches_outside(h, h.create(network="bridge", nat=True)), "no network after the helper's return")
        h.ok("vm", "set", vm, "--no-nat")
        expect(not reaches_outside(h, vm), "the old VM is out of the new helper's reach")
        expect(h.execute(vm, "cat", "/proc/sys/kernel/random/boot_id") == boot, "the VM was rebooted")
        h.clean_up()
        links = subprocess.run([*host.inside, "ip", "-j", "link"], capture_output=True, check=True).stdout
        taps = [link["ifname"] for link in json.loads(links) if link["ifname"] not in ("lo", "up0", "br-banger")]
        expect(not taps, "devices are left", taps)
