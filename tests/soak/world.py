# SPDX-License-Identifier: Apache-2.0
"""The real thing that the model describes: a server, its helper, guests, and what goes wrong with them."""
import concurrent.futures
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import harness  # noqa: E402
from harness import BASE, SHAPE, Server, clone, end_vmms, wait_until  # noqa: E402

HOME_MIB = 3072
RESERVE_MIB = 256
SETTLE_S = 240
TRANSIENT = ("starting", "stopping", "deleting")
GONE = (OSError, http.client.HTTPException)


class Broken(Exception):
    """An invariant does not hold. `kind` says which, so that a shorter plan can be held against it."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class World:
    """A home on a small file system of its own (the caller has made a mount namespace)."""

    def __init__(self, features, slow_disk):
        self.features = features
        self.home = tempfile.mkdtemp(prefix="bgs-", dir="/tmp")
        if "full_disk" in features["faults"]:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={HOME_MIB}m,mode=0700", "soak", self.home], check=True)
        clone(f"{BASE}/home", self.home)
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        self.helper_socket = f"{self.home}/helper.sock"
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write(f"[vms]\ndisk_reserve_mib = {RESERVE_MIB}\n[network]\nhelper = {self.helper_socket}\n")
        self.slow_file = f"{self.home}/slow"
        self.server = Server(self.home, env={"LD_PRELOAD": slow_disk, "BANGER_SLOW_DISK": self.slow_file})
        self.helper = None
        self.snapshot_ids = {}
        self.names = {}  # of the copies of a fork, whose names the server chooses: the plan's name to that
        self.descriptors = None
        if "kill_helper" in features["faults"]:
            self.start_helper()
        self.server.start()

    def start_helper(self):
        with open(f"{self.home}/helper.log", "ab") as log:
            self.helper = subprocess.Popen(
                [os.environ["BANGER_HELPER"], "--owner-uid", str(os.getuid()), "--owner-gid", str(os.getgid()),
                 "--socket", self.helper_socket, "--runtime-dir", f"{self.home}/run", "--jail-dir", f"{self.home}/jail"],
                stdin=subprocess.DEVNULL, stderr=log)

        def listens():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                return s.connect_ex(self.helper_socket) == 0

        wait_until(listens, "the helper listens", 20)

    def end_helper(self):
        if self.helper:
            self.helper.kill()
            self.helper.wait()

    def close(self, keep=None):
        if self.server.alive():
            self.server.kill()
        self.end_helper()
        end_vmms(self.server)
        if keep:
            os.makedirs(keep, exist_ok=True)
            for name in ("server.log", "helper.log", "state/state.db", "state/state.db-wal"):
                with contextlib.suppress(OSError):
                    shutil.copy2(f"{self.home}/{name}", keep)
        if os.path.ismount(self.home):
            subprocess.run(["umount", "-l", self.home], check=True)
        shutil.rmtree(self.home, ignore_errors=True)

    # --- actions ---

    def call(self, method, target, body=None, wait=200):
        return self.server.raw(method, target, body, {"Prefer": f"wait={wait}"}, timeout=SETTLE_S)

    def perform(self, action):
        """True: done, as the server says. A string: refused or failed, and how. None: no answer."""
        try:
            reply = self.request(action)
        except GONE:
            return None
        if isinstance(reply, str):
            return reply
        if reply.status not in (200, 201, 204):
            return f"{reply.status} {reply.body[:500].decode(errors='replace')}"
        return True

    def name(self, planned):
        return self.names.get(planned, planned)

    def request(self, action):
        verb, vm = action["do"], f"/vms/{self.name(action['vm'])}"
        if verb == "create":
            body = {"name": action["vm"]}
            if "snapshot" in action:
                body["from_snapshot"] = self.snapshot_ids[action["snapshot"]]
            else:
                body.update(image="mini", **{**SHAPE, "network": action["network"]})
            return self.call("POST", "/vms", body)
        if verb == "delete":
            return self.call("DELETE", vm)
        if verb == "delete_snapshot":
            return self.call("DELETE", f"/snapshots/{self.snapshot_ids[action['snapshot']]}")
        if verb == "write":
            return self.execute(vm, "sh", "-c", f"echo {action['value']} >/root/f.new && sync && "
                                "mv /root/f.new /root/f && sync")
        if verb == "exec":
            return self.execute(vm, "true")
        if verb == "labels":
            return self.call("PATCH", vm, {"labels": {"soak": str(action["value"])}})
        if verb == "fork":
            return self.fork(vm, action["child"])
        if verb == "snapshot":
            reply = self.call("POST", f"{vm}/snapshots", {"name": action["name"]})
            if reply.status == 201:
                self.snapshot_ids[action["name"]] = reply.json()["id"]
            return reply
        if verb == "restore":
            return self.call("POST", f"{vm}/restore", {"snapshot": self.snapshot_ids[action["snapshot"]]})
        return self.call("POST", f"{vm}/{verb}")

    def execute(self, vm, *argv):
        reply = self.call("POST", f"{vm}/exec", {"argv": list(argv), "timeout_s": 150})
        if reply.status == 200 and reply.json()["exit_code"] != 0:
            return f"{argv}: {reply.body[:500]!r}"
        return reply

    def fork(self, vm, child):
        reply = self.call("POST", f"{vm}/fork", {"count": 1})
        if reply.status != 200:
            return reply
        made = reply.json()["children"][0]
        if "operation" not in made:
            return f"fork: {made}"
        self.names[child] = made["name"]
        ended = wait_until(lambda: (lambda o: o if o["state"] not in ("queued", "running") else None)(
            self.server.raw("GET", f"/operations/{made['operation']}").json()), "the fork ends", SETTLE_S)
        return reply if ended["state"] == "succeeded" else f"fork: {ended}"

    def together(self, step):
        """The actions of a step and its fault; what perform() says of each."""
        fault = step["fault"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            pending = [pool.submit(self.perform, action) for action in step["actions"]]
            if fault:
                time.sleep(fault["after_ms"] / 1000)
                getattr(self, fault["do"])(fault)
            return [p.result(SETTLE_S + 60) for p in pending]

    # --- faults ---

    def kill_server(self, _):
        self.server.kill()
        self.server.start()

    def stop_server(self, _):
        self.server.stop()
        self.server.start()

    def kill_helper(self, _):
        self.end_helper()
        self.start_helper()

    def kill_vmm(self, fault):
        vm = self.server.must(200, "GET", f"/vms/{self.name(fault['vm'])}")["id"]
        # By its id: a VM that was kept ready has not its name there. And at once, whatever is on its way.
        for pid, line in harness.processes_naming(self.home).items():
            if "qemu-system" in line and f"/vms/{vm}/" in line:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.server.state(self.name(fault["vm"])) != "running", "the dead monitor is noticed", 60)

    def panic(self, fault):
        """The agent is process 1: with it goes the guest."""
        with contextlib.suppress(*GONE):
            self.server.raw("POST", f"/vms/{self.name(fault['vm'])}/exec", {"argv": ["sh", "-c", "echo c >/proc/sysrq-trigger"]},
                            timeout=60)
        wait_until(lambda: self.server.state(self.name(fault["vm"])) != "running", "the guest's end is noticed", 60)

    def full_disk(self, fault):
        ballast = f"{self.home}/ballast"
        room = os.statvfs(self.home)
        size = max(0, room.f_bavail * room.f_frsize - (1 << 20))
        with contextlib.suppress(OSError), open(ballast, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, size)
        time.sleep(fault["for_ms"] / 1000)
        os.unlink(ballast)

    def slow_disk(self, fault):
        with open(self.slow_file, "w", encoding="ascii") as f:
            f.write(str(fault["each_ms"]))
        time.sleep(fault["for_ms"] / 1000)
        os.unlink(self.slow_file)

    # --- what is there ---

    def qemus(self):
        return {pid: line for pid, line in self.server.vmms().items() if "qemu-system" in line and "guest=" in line}

    def list_vms(self):
        reply = self.server.call("GET", "/vms?limit=1000")
        if reply.status != 200:
            raise Broken("list", f"{reply}")
        return {vm["name"]: vm for vm in reply.json()["items"]}

    def settled(self, model):
        """The VMs as listed, once nothing is under way."""
        def quiet():
            vms = self.list_vms()
            busy = [o for o in self.server.raw("GET", "/operations?state=running").json()["items"]
                    if o["kind"] != "template.build"]
            if busy or any(vm["state"] in TRANSIENT for vm in vms.values()):
                return None
            # A full disk pauses; room again lets go.
            real = {self.name(n): m for n, m in model.vms.items()}
            if any(vms[n]["state"] == "paused" and "paused" not in m.states for n, m in real.items() if n in vms):
                return None
            return vms

        try:
            return wait_until(quiet, "nothing is under way", SETTLE_S, 0.1) or {}
        except AssertionError:
            vms = {n: vm["state"] for n, vm in self.list_vms().items()}
            raise Broken("settle", f"{vms}") from None

    def check(self, model):
        """Holds everything against the model, which then knows what a fault has left open."""
        if not self.server.alive():
            raise Broken("server", f"it ended with {self.server.process.returncode}: {self.server.log()[-1500:]}")
        if harness.SANITIZER.search(self.server.log()):
            raise Broken("log", self.server.log()[-3000:])
        vms = self.settled(model)
        self.check_names(model, vms)
        for name, expected in model.vms.items():
            self.check_vm(expected, vms[self.name(name)])
        self.check_processes(vms)
        self.check_snapshots(model)
        self.check_files(vms)
        self.check_store()

    def check_names(self, model, vms):
        extra = set(vms) - {self.name(n) for n in model.vms}
        for name in list(model.vms):
            if self.name(name) in vms:
                continue
            if not model.vms[name].may_be_gone:
                raise Broken("lost", f"{name} is gone; there are {sorted(vms)}")
            if model.vms[name].copy_of and extra:
                self.names[name] = extra.pop()  # the answer to the fork was lost, the copy was made
            else:
                del model.vms[name]
        if extra:
            raise Broken("extra", f"{sorted(extra)}")

    def check_vm(self, expected, vm):
        name = vm["name"]
        if vm["state"] not in expected.states:
            raise Broken("state", f"{name} is {vm['state']} ({vm.get('reason')}), not one of {sorted(expected.states)}")
        expected.states, expected.may_be_gone = {vm["state"]}, False
        expected.has_disk |= vm["state"] in ("running", "paused", "suspended")
        if vm["state"] != "running":
            return
        reply = self.call("POST", f"/vms/{name}/exec", {
            "argv": ["sh", "-c", "hostname; cat /proc/sys/kernel/random/boot_id; cat /root/f 2>/dev/null || echo 0"],
            "timeout_s": 60})
        if reply.status != 200 or reply.json()["exit_code"] != 0:
            raise Broken("exec", f"{name}: {reply}")
        hostname, boot_id, content = reply.json()["stdout"].split()
        if hostname != name:
            raise Broken("identity", f"{name} calls itself {hostname}")
        if int(content) not in expected.files:
            raise Broken("data", f"{name} holds {content}, not one of {sorted(expected.files)}")
        if expected.boot_id not in (None, boot_id):
            raise Broken("reboot", f"{name} was booted anew")
        expected.files, expected.boot_id = {int(content)}, boot_id

    def check_processes(self, vms):
        wanted = {vm["id"] for vm in vms.values() if vm["state"] in ("running", "paused")}

        def found():
            ids = [m.group(1) for line in self.qemus().values() for m in [re.search(r"/vms/([0-9a-z]{16})/", line)] if m]
            # A VM that a template is made of is nobody's.
            return sorted(i for i in ids if i in {vm["id"] for vm in vms.values()}) == sorted(wanted)

        try:
            wait_until(found, "one monitor for each running VM", 30)
        except AssertionError:
            raise Broken("processes", f"wanted {sorted(wanted)}, there are {list(self.qemus().values())}") from None
        count = self.server.descriptors()
        self.descriptors = self.descriptors or count
        if count > self.descriptors + 64 + 16 * len(vms):
            raise Broken("descriptors", f"{count}")

    def check_snapshots(self, model):
        there = {s["name"]: s["id"] for s in self.server.must(200, "GET", "/snapshots")["items"]}
        for name in list(model.snapshots):
            if name not in there:
                if not model.snapshots[name]["may_be_gone"]:
                    raise Broken("snapshot lost", f"{name}; there are {sorted(there)}")
                del model.snapshots[name]
            else:
                model.snapshots[name]["may_be_gone"] = False
                self.snapshot_ids[name] = there[name]
        if set(there) - set(model.snapshots):
            raise Broken("snapshot extra", f"{sorted(set(there) - set(model.snapshots))}")

    def check_files(self, vms):
        ids = {vm["id"] for vm in vms.values()} | set(self.server.ready())
        building = [o for o in self.server.raw("GET", "/operations?state=running").json()["items"]]
        if building:
            return
        for folder, wanted in (("state/vms", ids), ("run/vm", ids)):
            with contextlib.suppress(FileNotFoundError):
                strange = [n for n in os.listdir(f"{self.home}/{folder}") if n not in wanted]
                if strange:
                    raise Broken("folders", f"{folder}: {strange}")
        half = [os.path.join(path, f) for path, folders, files in os.walk(f"{self.home}/state")
                for f in files + folders if f.endswith((".tmp", ".gone", ".part"))]
        if half:
            raise Broken("half-made", f"{half}")

    def check_store(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/state/state.db?mode=ro", uri=True)) as db:
            said = db.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise Broken("store", said)

    def check_empty(self, model):
        """At the end: all of it is deleted, and nothing is left."""
        for name in list(model.vms):
            self.server.must(204, "DELETE", f"/vms/{self.name(name)}", wait=120)
        for name in list(model.snapshots):
            self.server.must(204, "DELETE", f"/snapshots/{self.snapshot_ids[name]}")
        try:
            wait_until(lambda: not self.server.raw("GET", "/operations?state=running").json()["items"], "all ends", SETTLE_S)
            self.end_helper()
            wait_until(lambda: not self.server.leftovers(), "nothing is left", 30)
        except AssertionError:
            raise Broken("left behind", f"{self.server.leftovers()}") from None
