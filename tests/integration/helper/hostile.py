#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: hostile.py HELPER
A caller that has the owner's powers and bad intentions, against the real helper: hundreds of
requests of which none may pass, processes that must live, files that must stay. Exit status 77: not
root, nothing was tested.
"""
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import OPS, SIZES, Client, Helper, head, net_body  # noqa: E402

OWNER, STRANGER = 23456, 23457
ID = b"0123456789abcdef"
GUEST = 0x0AD10005
NET_OPS = ("tap.create", "tap.delete", "nat.ensure", "nat.remove")
BAD_IDS = [b"", b"../../../etc/pas", b"0123456789abcde/", b"0123456789abcdeF", b"\xff" * 16,
           b"0123456789abcde\n", b"0123456789abcde;", b"................", b"0123456789abcdei",
           b"$(reboot)       ", b"0\0" * 8]
requests = 0
passed = 0


def check(what, truth):
    global passed
    if not truth:
        print("not ok: " + what)
        sys.exit(1)
    passed += 1


def dropped(client_of, data, fds=(), what=""):
    """A request after which the connection is gone, without a reply."""
    global requests
    requests += 1
    client = client_of()
    reply = client.raw(data, fds)
    client.close()
    check("dropped: %s %r" % (what, data[:40]), reply is None)


def refused(client, op, body, reason, fds=()):
    """A request that is answered with a refusal."""
    global requests
    requests += 1
    reply = client.call(op, body, fds=fds)
    check("%s %r: a reply" % (op, body), reply is not None)
    check("%s %r: refused with %s, not %s" % (op, body, reason, reply.reason),
          reply.result < 0 and reply.reason == reason and reply.length == 0)


def good_body(op):
    return {"status": b"", "bridge.ensure": b"", "dns.clear": b"",
            "tap.create": net_body(ID, GUEST), "tap.delete": net_body(ID, GUEST),
            "nat.ensure": net_body(ID, GUEST), "nat.remove": net_body(ID, GUEST),
            "dns.route": struct.pack("<H6x", 42069),
            "cgroup.create": struct.pack("<16sQII", ID, 0, 0, 0), "cgroup.remove": ID,
            "jail.remove": ID, "vm.launch": ID,
            "process.signal": struct.pack("<i12s", 2, b"TERM"),
            "process.kill": struct.pack("<i12s", 2, b"")}[op]


def test_malformed(client_of):
    for op in OPS:
        size, body = SIZES[op], good_body(op)
        assert len(body) == size
        for n in {0, 1, size - 1, size + 1, 64, 65, 1000} - {size, -1}:
            dropped(client_of, head(op, n) + bytes(n), what="size")
        dropped(client_of, head(op, size + 1) + body, what="length too large")
        dropped(client_of, head(op, size, magic=0) + body, what="magic")
        dropped(client_of, head(op, size, version=2) + body, what="version")
        dropped(client_of, head(op, size, zero=1) + body, what="padding")
        dropped(client_of, head(op, size, op_id=b"not an id") + body, what="operation id")
        dropped(client_of, head(op, size, op_id=b"\n\x1b[2Jinjected!!") + body, what="operation id")
    for op in (len(OPS), 100, 0x7FFF, 0xFFFF):
        dropped(client_of, head(op, 0), what="unknown operation")
    for n in range(1, 32):
        dropped(client_of, head("status", 0)[:n], what="short")
    dropped(client_of, bytes(200000), what="huge")


def test_fds(client_of):
    null = os.open("/dev/null", os.O_RDWR)
    for op in OPS:
        if op != "vm.launch":
            dropped(client_of, head(op, SIZES[op]) + good_body(op), [null], what="descriptor")
    for n in (2, 8, 30, 250):
        dropped(client_of, head("vm.launch", 16) + good_body("vm.launch"), [null] * n,
                what="many descriptors")
    client = client_of()
    memory = os.open("/proc/self/mem", os.O_RDWR)
    pair = socket.socketpair()
    for fd in (null, memory, pair[0].fileno()):
        refused(client, "vm.launch", good_body("vm.launch"), "fd", [fd])
    for fd in (null, memory):
        os.close(fd)


def test_values(client):
    for bad in BAD_IDS:
        for op in NET_OPS:
            refused(client, op, net_body(bad, GUEST), "vm-id")
        refused(client, "cgroup.create", struct.pack("<16sQII", bad, 0, 0, 0), "vm-id")
        for op in ("cgroup.remove", "jail.remove", "vm.launch"):
            refused(client, op, struct.pack("16s", bad), "vm-id")
    for bad in (0, 1, 0x7F000001, 0x0AD10000, 0x0AD10001, 0x0AD1FFFF, 0x0AD20005, 0xFFFFFFFF,
                0x0500D10A, 0xC0A80001):
        for op in NET_OPS:
            refused(client, op, net_body(ID, bad), "address")
    for bad in (8, 16, 0x8000, 0xFFFF, 0x80000000, 0xFFFFFFFF):
        refused(client, "tap.create", net_body(ID, GUEST, bad), "flags")
    for op in NET_OPS[1:]:
        for bad in (1, 2, 4, 8, 0x80000000):
            refused(client, op, net_body(ID, GUEST, bad), "flags")
    for memory, cpu, pids in ((1, 0, 0), (1 << 50, 0, 0), (2**64 - 1, 0, 0), (0, 2**32 - 1, 0),
                              (0, 200000, 0), (0, 0, 1), (0, 0, 2**32 - 1)):
        refused(client, "cgroup.create", struct.pack("<16sQII", ID, memory, cpu, pids), "limit")
    for port in (0, 1, 53, 80, 1023):
        refused(client, "dns.route", struct.pack("<H6x", port), "port")
    refused(client, "dns.route", struct.pack("<HHHH", 42069, 1, 0, 0), "flags")
    # In order, but there is nothing to work on.
    for op in ("tap.create", "nat.ensure", "dns.route"):
        refused(client, op, good_body(op), "no-bridge")
    refused(client, "vm.launch", good_body("vm.launch"), "binary")


def signal_body(pid, name=b""):
    return struct.pack("<i12s", pid, name)


def spawn(uid, *argv):
    return subprocess.Popen(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups",
                             *argv], stdin=subprocess.DEVNULL)


def named_firecracker(uid, sock):
    """A process that says what Firecracker would say. `exec -a` gives it the name as well."""
    process = spawn(uid, "bash", "-c", 'exec -a firecracker sh -c "while :; do sleep 1; done" firecracker '
                    "--id x --api-sock '%s'" % sock)
    for _ in range(500):
        with open("/proc/%d/cmdline" % process.pid, "rb") as f:
            if f.read().startswith(b"firecracker\0"):
                return process
        time.sleep(0.01)
    raise AssertionError("no such process")


def test_processes(client, helper, folder):
    for pid in (0, 1, -1, -2**31, helper.process.pid, -helper.process.pid):
        refused(client, "process.kill", signal_body(pid), "pid")
        refused(client, "process.signal", signal_body(pid, b"TERM"), "pid")
    for name in (b"STOP", b"CONT", b"SIGSTOP", b"9", b"19", b"RTMIN", b"SIGRTMIN+2", b"", b"SIG",
                 b"TERM\0x", b"TERMTERMTERM", b"SEGV", b"-9", b"%n%n", b"../TERM"):
        refused(client, "process.signal", signal_body(os.getpid(), name), "signal")
    refused(client, "process.kill", signal_body(os.getpid(), b"TERM"), "signal")
    refused(client, "process.kill", signal_body(2**31 - 1), "gone")
    run_dir = os.path.join(folder, "run")
    os.makedirs(run_dir + "/vms/a")
    os.makedirs(run_dir + "-evil")
    os.symlink(run_dir + "-evil", run_dir + "/vms/link")
    for path in (run_dir, run_dir + "/vms", run_dir + "/vms/a", run_dir + "-evil"):
        os.chown(path, OWNER, OWNER)
    in_place = run_dir + "/vms/a/fc.sock"
    victims = [spawn(OWNER, "sleep", "60"), spawn(STRANGER, "sleep", "60"),
               named_firecracker(STRANGER, in_place), named_firecracker(0, in_place)]
    for sock in (run_dir + "-evil/fc.sock", run_dir + "/../run/vms/a/fc.sock",
                 run_dir + "/vms/link/fc.sock", run_dir + "/vms/../../run-evil/fc.sock",
                 run_dir + "//vms/a/fc.sock", run_dir, "fc.sock", ""):
        victims.append(named_firecracker(OWNER, sock))
    for victim in victims:
        for op, name in (("process.kill", b""), ("process.signal", b"TERM")):
            refused(client, op, signal_body(victim.pid, name), "not-ours")
    for pid in (os.getpid(), os.getppid(), 2):
        refused(client, "process.kill", signal_body(pid), "not-ours")
    # The one that is ours.
    ours = named_firecracker(OWNER, in_place)
    check("the owner's own VM is killed", client.call(
        "process.kill", signal_body(ours.pid)).result == 0 and ours.wait(10) == -9)
    race_folder(client, run_dir, victims[2])
    for victim in victims:
        check("victim alive", victim.poll() is None)
        victim.kill()
        victim.wait()


def race_folder(client, run_dir, victim):
    """The folder of the socket turns into a link and back while the helper looks."""
    path, spare = run_dir + "/vms/a", run_dir + "/vms/spare"
    os.symlink(run_dir + "-evil", spare)
    stop = threading.Event()

    def race():
        while not stop.is_set():
            exchange(path, spare)

    thread = threading.Thread(target=race)
    thread.start()
    for _ in range(100):
        refused(client, "process.kill", signal_body(victim.pid), "not-ours")
    stop.set()
    thread.join()


LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(a, b):
    """renameat2(RENAME_EXCHANGE): both names stay, what they mean changes places."""
    LIBC.renameat2(-100, a.encode(), -100, b.encode(), 2)


def test_jails(client, folder):
    """jail.remove against an owner who swaps folders for links to somebody else's files."""
    precious = os.path.join(folder, "precious")
    os.makedirs(precious + "/deep")
    for name in ("a", "b", "deep/c"):
        with open(os.path.join(precious, name), "w", encoding="ascii") as f:
            f.write("keep")
    base = os.path.join(folder, "jail", "firecracker")
    os.makedirs(base)
    os.symlink(precious, os.path.join(base, ID.decode()))
    global requests
    requests += 1
    check("a link is taken away, not followed",
          client.call("jail.remove", ID).result == 0 and os.listdir(base) == [])
    root = os.path.join(base, ID.decode(), "root")
    for _ in range(40):
        os.makedirs(root + "/x/y/z")
        os.symlink(precious, root + "/link")
        for n in range(20):
            open("%s/x/y/f%d" % (root, n), "w", encoding="ascii").close()
        stop = threading.Event()

        def race(stop=stop):
            while not stop.is_set():
                exchange(root + "/x", root + "/link")
                exchange(root + "/x/y", root + "/link")

        thread = threading.Thread(target=race)
        thread.start()
        requests += 1
        client.call("jail.remove", ID)
        stop.set()
        thread.join()
        shutil.rmtree(os.path.join(base, ID.decode()), ignore_errors=True)
    check("the precious files are there",
          sorted(os.listdir(precious)) == ["a", "b", "deep"] and
          os.listdir(precious + "/deep") == ["c"])
    check("removing what is not there is fine", client.call("jail.remove", ID).result == 0)


def pids_of_children(n):
    """Numbers of processes that have just ended."""
    pids = []
    for _ in range(n):
        process = subprocess.Popen(["/bin/true"])
        process.wait()
        pids.append(process.pid)
    return pids


def test_reuse(client):
    """Numbers that were processes a moment ago, while others are being born."""
    stop = threading.Event()
    failed = []

    def births():
        while not stop.is_set():
            if subprocess.run(["/bin/true"], check=False).returncode != 0:
                failed.append(1)

    thread = threading.Thread(target=births)
    thread.start()
    for pid in pids_of_children(50):
        reply = client.call("process.kill", signal_body(pid))
        check("recycled", reply.result < 0 and reply.reason in ("gone", "not-ours"))
        global requests
        requests += 1
    stop.set()
    thread.join()
    check("nobody else was hit", not failed)


def open_fds(helper):
    return len(os.listdir("/proc/%d/fd" % helper.process.pid))


def test_connections(helper):
    before = open_fds(helper)
    for _ in range(10):
        clients = []
        for _ in range(100):
            try:
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.setblocking(False)
                s.connect(helper.path)
                clients.append(s)
            except BlockingIOError:
                s.close()
        check("never more descriptors than places", open_fds(helper) <= before + 16)
        for s in clients:
            s.close()
    for how in (socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR):
        client = helper.client()
        client.sock.send(head("status", 0))
        try:
            client.sock.shutdown(how)
        except OSError:
            pass
        client.close()
    # A reader that never reads: the helper does not wait for it.
    client = helper.client()
    client.sock.setblocking(False)
    try:
        for _ in range(100000):
            client.sock.send(head("status", 0))
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    other = helper.client()
    check("others are served", other.call("status").result == 0)
    other.close()
    client.close()
    for _ in range(500):
        if open_fds(helper) <= before:
            break
        time.sleep(0.01)
    check("no descriptor is left", open_fds(helper) <= before)


def as_uid(uid, fn):
    """Runs fn() in a process of that user; its exit status."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            code = fn()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_strangers(helper):
    def connect():
        try:
            Client(helper.path)
            return 1
        except PermissionError:
            return 0

    def connect_and_ask():
        # Well-formed requests, should the file's mode ever be wrong.
        for op in ("status", "bridge.ensure", "jail.remove"):
            try:
                if Client(helper.path).raw(head(op, SIZES[op]) + good_body(op)) is not None:
                    return 1
            except (BrokenPipeError, ConnectionResetError):
                pass
        return 0

    st = os.stat(helper.path)
    check("the socket is the owner's alone", (st.st_mode & 0o7777, st.st_uid) == (0o600, OWNER))
    check("a stranger can't connect", as_uid(STRANGER, connect) == 0)
    os.chmod(helper.path, 0o666)
    check("nor be heard where the mode is wrong", as_uid(STRANGER, connect_and_ask) == 0)
    os.chmod(helper.path, 0o600)
    check("the owner is", as_uid(
        OWNER, lambda: 0 if Client(helper.path).call("status").result == 0 else 1) == 0)


def test_setuid(program, folder):
    """A copy with the set-uid bit, started by somebody else, does nothing."""
    copy = os.path.join(folder, "copy")
    shutil.copy(program, copy)
    os.chmod(copy, 0o4755)
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        return
    argv = ["--owner-uid", str(STRANGER), "--owner-gid", "0", "--socket", folder + "/evil.sock"]
    r = subprocess.run(["setpriv", "--reuid", str(STRANGER), "--clear-groups", "--regid",
                        str(STRANGER), copy, *argv], capture_output=True, check=False)
    check("refuses to run set-uid",
          r.returncode == 1 and b"set-uid" in r.stderr and not os.path.exists(folder + "/evil.sock"))


def state():
    return subprocess.run("ip -o link; nft list ruleset", shell=True, capture_output=True,
                          check=True).stdout


def main():
    if os.geteuid() != 0:
        print("skipped: needs root to run the helper")
        return 77
    if os.environ.get("BANGER_NETNS") != "1":
        os.environ["BANGER_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__),
                              *sys.argv[1:]])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="banger-hostile-")
    os.chmod(folder, 0o711)
    os.mkdir(folder + "/jail")
    helper = Helper(os.path.abspath(sys.argv[1]), folder, owner=OWNER)
    before = state()
    try:
        test_malformed(helper.client)
        test_fds(helper.client)
        client = helper.client()
        test_values(client)
        test_processes(client, helper, folder)
        test_jails(client, folder)
        test_reuse(client)
        client.close()
        test_connections(helper)
        test_strangers(helper)
        test_setuid(helper.argv[0], folder)
        check("the host is as it was", state() == before)
        check("the helper lives", helper.process.poll() is None)
        log = helper.log()
        for words in ("malformed request", "not a VM id", "no proof that the process is banger",
                      "neither root nor the owner", "not a signal that may be sent"):
            check("the log says why: " + words, words in log)
        check("one line a record", all(line.startswith("{") for line in log.splitlines()))
        check("it ends in order", helper.stop() == 0)
    except BaseException:
        print(helper.log()[-4000:])
        raise
    finally:
        if helper.process.poll() is None:
            helper.kill()
        shutil.rmtree(folder)
    check("enough requests: %d" % requests, requests >= 300)
    print("%d hostile requests" % requests)
    print("%d passed, 0 failed" % passed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
