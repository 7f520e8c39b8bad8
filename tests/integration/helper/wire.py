# SPDX-License-Identifier: Apache-2.0
"""The helper's wire format once more, written from lib/helper/wire.h, and a helper of one's own."""
import array
import os
import socket
import struct
import subprocess
import time

MAGIC, VERSION = 0x48474E42, 1
OPS = ["status", "bridge.ensure", "tap.create", "tap.delete", "nat.ensure", "nat.remove",
       "dns.route", "dns.clear", "cgroup.create", "cgroup.remove", "vm.launch", "jail.remove",
       "process.signal", "process.kill"]
REASONS = ["ok", "vm-id", "address", "flags", "limit", "port", "fd", "signal", "pid",
           "not-ours", "gone", "no-bridge", "binary", "busy", "no-forwarding", "host"]
SIZES = {"status": 0, "bridge.ensure": 0, "tap.create": 24, "tap.delete": 24, "nat.ensure": 24,
         "nat.remove": 24, "dns.route": 8, "dns.clear": 0, "cgroup.create": 32,
         "cgroup.remove": 16, "vm.launch": 16, "jail.remove": 16, "process.signal": 16,
         "process.kill": 16}
OPEN, PERSIST, NAT = 1, 2, 4


def head(op, length, op_id=b"", magic=MAGIC, version=VERSION, zero=0):
    number = OPS.index(op) if isinstance(op, str) else op
    return struct.pack("<IHHII16s", magic, version, number, length, zero, op_id)


class Reply:
    def __init__(self, data, fds):
        (self.magic, self.version, self.op, self.result, reason, self.length, _,
         self.op_id) = struct.unpack("<IHHiIII16s", data[:40])
        self.reason = REASONS[reason]
        self.body = data[40:]
        self.fd = fds[0] if fds else -1
        assert len(self.body) == self.length, (self.length, data)


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Blocks while the backlog is full; with a time limit it would be refused.
        self.sock.connect(path)
        self.sock.settimeout(15)

    def raw(self, data, fds=()):
        """One datagram out; the reply, or None when the connection was dropped."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.sock.sendmsg([data], control)
            got, anc, _, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(64))
        except (BrokenPipeError, ConnectionResetError):
            return None
        if not got:
            return None
        fds = array.array("i")
        for level, kind, payload in anc:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload)
        return Reply(got, list(fds))

    def call(self, op, body=b"", op_id=b"", fds=()):
        return self.raw(head(op, len(body), op_id) + body, fds)

    def close(self):
        self.sock.close()


def net_body(vm, address, flags=0):
    return struct.pack("<16sII", vm, address, flags)




class Helper:
    """A running banger-helper with folders of its own."""

    def __init__(self, program, folder, extra=(), owner=0):
        self.path = os.path.join(folder, "helper.sock")
        self.argv = [program, "--owner-uid", str(owner), "--owner-gid", str(owner), "--socket",
                     self.path, "--runtime-dir", os.path.join(folder, "run"), "--jail-dir",
                     os.path.join(folder, "jail"), *extra]
        self.log_path = os.path.join(folder, "helper.log")
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=log)
        for _ in range(500):
            if self.process.poll() is not None:
                raise RuntimeError("the helper ended: " + self.log())
            try:
                Client(self.path).close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
        raise RuntimeError("the helper does not listen")

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def client(self):
        return Client(self.path)

    def stop(self):
        self.process.terminate()
        return self.process.wait(10)

    def kill(self):
        self.process.kill()
        self.process.wait(10)
