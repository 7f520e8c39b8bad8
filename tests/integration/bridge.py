# SPDX-License-Identifier: Apache-2.0
"""Real guests on the bridge, through the real root helper, in network namespaces of this test's own: an uplink
host that answers, NAT switched live, isolation, lies that are dropped, names, and nothing left behind.

BANGER_HELPER names the helper. Exit status 77: not root, nothing was tested.
"""
import contextlib
import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

if os.geteuid() != 0:
    print("skipped: needs root for network namespaces, taps and nftables")
    sys.exit(77)

from harness import SHAPE, LifeTest, link_or_copy, prepare, processes_naming, wait_until

if os.environ.get("BANGER_NETNS") != "1":
    # With the host's network: what the guests are made of may have to be fetched.
    prepare()
    os.environ["BANGER_NETNS"] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])

DNS_PORT = 42069
UPLINK = "192.0.2.2"
BRIDGE_SHAPE = {**SHAPE, "network": "bridge"}

ECHO = """
import os, socket, threading
def serve(family, address):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 7000))
    s.listen(16)
    os.write(1, b"ready\\n")
    while True:
        c, peer = s.accept()
        c.sendall(peer[0].encode() + b"\\n")
        c.close()
threading.Thread(target=serve, args=(socket.AF_INET6, "::"), daemon=True).start()
serve(socket.AF_INET, "0.0.0.0")
"""


def run(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=60).stdout


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def make_hosts():
    """A host with a way out, and who is there: a process with a network of its own, which needs no mounts."""
    echo = subprocess.Popen(["unshare", "--net", sys.executable, "-c", ECHO], stdout=subprocess.PIPE)
    try:
        connect_hosts(echo)
    except BaseException:
        echo.kill()
        echo.wait()
        raise
    return echo


def connect_hosts(echo):
    for _ in range(2):
        ready = echo.stdout.readline()
        assert ready == b"ready\n", ready
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", str(echo.pid))
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
    run("ip", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad")
    run("ip", "link", "set", "up0", "up")
    for args in (("link", "set", "lo", "up"), ("addr", "add", f"{UPLINK}/24", "dev", "up1"),
                 ("addr", "add", "2001:db8::2/64", "dev", "up1", "nodad"), ("link", "set", "up1", "up")):
        run("nsenter", f"--net=/proc/{echo.pid}/ns/net", "ip", *args)
    run("ip", "route", "add", "default", "via", UPLINK)
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        write("/proc/sys/net/" + name, "1")


def traces():
    """Everything in the kernel that could be a VM's: links, rules and what their sets hold, named namespaces."""
    rules = [line.split(" packets ")[0] for line in run("nft", "list", "ruleset", check=False).splitlines()]
    links = sorted(o["ifname"] for o in json.loads(run("ip", "-j", "link")))
    # The others are of the helper's own test, which may run beside this one.
    namespaces = [name for name in run("ip", "netns", "list").split("\n") if not name.startswith("banger-uplink-")]
    return links, rules, namespaces


class Helper:
    def __init__(self):
        # Short: a socket's path has at most 108 bytes.
        self.folder = tempfile.mkdtemp(prefix="bgh-", dir="/tmp")
        self.socket = f"{self.folder}/helper.sock"
        self.process = None

    def start(self):
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["BANGER_HELPER"], "--owner-uid", "0", "--owner-gid", "0", "--socket", self.socket,
                 "--runtime-dir", f"{self.folder}/run", "--jail-dir", f"{self.folder}/jail"], stdin=subprocess.DEVNULL, stderr=log)
        wait_until(self.listens, "the helper listens")

    def listens(self):
        assert self.process.poll() is None, "the helper ended"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(self.socket) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8") as f:
            return f.read()


def dns(name, kind):
    """Records of one question to the server: a list of data, or the code of its refusal."""
    question = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack("!2H", kind, 1),
                 ("127.0.0.1", DNS_PORT))
        reply = s.recv(512)
    code, answers = reply[3] & 15, struct.unpack("!H", reply[6:8])[0]
    return code if code else [reply[-4:] if kind == 1 else reply[-16:]] * answers


class Bridge(LifeTest):
    @classmethod
    def setUpClass(cls):
        cls.before = None
        cls.kept = tempfile.mkdtemp(prefix="bgk-", dir="/tmp")
        cls.echo = make_hosts()
        cls.helper = Helper()
        cls.helper.start()

    @classmethod
    def tearDownClass(cls):
        cls.helper.stop()
        cls.echo.kill()
        cls.echo.wait()
        shutil.rmtree(cls.kept)
        shutil.rmtree(cls.helper.folder)

    def setUp(self):
        super().setUp()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        write(f"{self.home}/config/banger.conf", f"[network]\nhelper = {self.helper.socket}\n")
        if Bridge.before is None:
            self.prepare_bridge()
        else:
            shutil.copytree(self.kept, f"{self.home}/state/templates", copy_function=link_or_copy, dirs_exist_ok=True)
            self.server.start()
        self.assertEqual(Bridge.before, traces())
        self.addCleanup(self.delete_all)

    def prepare_bridge(self):
        """The bridge and its tables, which stay for the next VM, and a template on it."""
        self.server.start()
        first = self.create("first", boot="auto")
        self.assertEqual("cold", first["booted_from"])
        key = wait_until(lambda: [t for t in self.server.must(200, "GET", "/templates")["items"]
                                  if t["network"] == "bridge"], "the template is built", 400, 0.5)[0]["id"]
        self.server.delete("first")
        shutil.copytree(f"{self.home}/state/templates/{key}", f"{self.kept}/{key}", copy_function=link_or_copy)
        Bridge.before = traces()

    def delete_all(self):
        """What a test that failed has left would fail the next ones."""
        if self.server.alive():
            for name in self.server.names():
                self.server.call("DELETE", f"/vms/{name}", headers={"Prefer": "wait=60"})

    def create(self, name, **fields):
        return self.server.create(name, **{**BRIDGE_SHAPE, "boot": "template", **fields})

    def sh(self, vm, command):
        return self.server.must(200, "POST", f"/vms/{vm}/exec", {"argv": ["sh", "-c", command]})

    def reaches(self, vm, address, port=7000):
        """What the other side says, or "" when it is out of reach."""
        return self.sh(vm, f"nc -w 3 {address} {port} </dev/null")["stdout"].strip()

    def assert_clean(self):
        self.assert_nothing_left()
        self.assertEqual(Bridge.before, traces())

    def test_nat_names_and_the_way_out(self):
        vm = self.create("web", boot="cold")
        self.assertRegex(vm["ip"], r"^10\.209\.\d+\.\d+$")
        self.assertEqual("192.0.2.1", self.reaches("web", UPLINK), "NAT: the host's address is seen")
        self.assertEqual("2001:db8::1", self.reaches("web", "2001:db8::2"), "IPv6 as well")
        self.assertEqual([socket.inet_aton(vm["ip"])], dns("web.vm", 1))
        self.assertEqual([socket.inet_pton(socket.AF_INET6, vm["ip6"])], dns("web.vm", 28))
        self.assertEqual(3, dns("other.vm", 1), "NXDOMAIN")
        with socket.socket() as s:
            s.settimeout(20)
            self.assertEqual(errno.ECONNREFUSED, s.connect_ex((vm["ip"], 7)), "the host reaches the guest")
        with socket.socket() as s:
            s.bind(("0.0.0.0", 7001))
            s.listen()
            self.assertEqual(1, self.sh("web", "nc -w 2 192.0.2.1 7001 </dev/null")["exit_code"],
                             "services of the host are out of reach")
        # Through a server that did not make the tap.
        self.server.kill()
        self.server.start()
        now = wait_until(lambda: self.server.must(200, "GET", "/vms/web/stats").get("now"), "the VM is measured")
        self.assertGreater(now["net_rx_packets"], 3)
        self.assertGreater(now["net_tx_bytes"], now["net_tx_packets"] * 40)
        self.server.delete("web")
        self.assertEqual(3, dns("web.vm", 1), "the name has gone with the VM")
        self.assert_clean()

    def test_nat_is_switched_while_the_guest_runs(self):
        self.create("web", nat=False)
        self.assertEqual("", self.reaches("web", UPLINK))
        self.assertTrue(self.server.must(200, "PATCH", "/vms/web", {"nat": True})["nat"])
        self.assertEqual("192.0.2.1", self.reaches("web", UPLINK))
        self.assertFalse(self.server.must(200, "PATCH", "/vms/web", {"nat": False})["nat"])
        self.assertEqual("", self.reaches("web", UPLINK))
        problem = self.server.must(409, "PATCH", "/vms/web", {"nat": True, "vcpus": 2})
        self.assertIn("vcpus", problem["detail"])
        self.assertEqual("", self.reaches("web", UPLINK), "all of it or nothing")
        self.server.delete("web")
        self.assert_clean()

    def test_guests_are_kept_apart_unless_asked(self):
        serve = "(while :; do nc -l -p 7000 -e echo heard; done) </dev/null >/dev/null 2>&1 &"
        vms = {name: self.create(name, isolated=name not in ("c", "d")) for name in ("a", "b", "c", "d")}
        self.assertEqual(4, len({vm["ip"] for vm in vms.values()}))
        for name in ("b", "d"):
            self.sh(name, serve)
        self.assertEqual("heard", self.reaches("c", vms["d"]["ip"]), "two that are open")
        for source, target in (("a", "b"), ("c", "b"), ("a", "d")):
            self.assertEqual("", self.reaches(source, vms[target]["ip"]), f"{source} to {target}")
        # Under another address nothing passes, not even to the outside.
        self.sh("a", f"ip addr flush dev eth0; ip addr add {vms['b']['ip']}/16 dev eth0; "
                     "ip route add default via 10.209.0.1")
        self.assertEqual("", self.reaches("a", UPLINK))
        for name in vms:
            self.server.delete(name)
        self.assert_clean()

    def test_clones_get_addresses_of_their_own(self):
        names = ["first", "second", "third"]
        clones = [self.create(name) for name in names]
        self.server.must(202, "POST", "/vms/second/fork", {"count": 1})
        fork = wait_until(lambda: [vm for vm in self.server.must(200, "GET", "/vms")["items"]
                                   if vm["name"] not in names and vm["state"] == "running"],
                          "the fork runs", 120)[0]
        everybody = [*clones, fork]
        self.assertEqual(4, len({vm["ip"] for vm in everybody}))
        for vm in everybody:
            self.assertIn(f" {vm['ip']}/16 ", self.sh(vm["name"], "ip addr show dev eth0")["stdout"])
            self.assertEqual("192.0.2.1", self.reaches(vm["name"], UPLINK))
            self.assertEqual("2001:db8::1", self.reaches(vm["name"], "2001:db8::2"))
        self.server.must(200, "POST", "/vms/third/suspend", wait=120)
        self.assertNotIn(self.tap(clones[2]), traces()[0], "what sleeps has no tap")
        self.assertEqual("192.0.2.1", self.reaches("third", UPLINK), "woken up at the same address")
        for vm in everybody:
            self.server.delete(vm["name"])
        self.assert_clean()

    @staticmethod
    def tap(vm):
        return "bgr" + vm["id"][-12:]

    def test_after_crashes_everything_is_found_again(self):
        vm = self.create("web")
        self.server.kill()
        self.server.start()
        self.assertEqual("running", self.server.state("web"))
        self.assertEqual("192.0.2.1", self.reaches("web", UPLINK), "adopted with its network")
        wait_until(lambda: dns("web.vm", 1) == [socket.inet_aton(vm["ip"])], "its name resolves again")
        self.helper.kill()
        self.assertEqual("192.0.2.1", self.reaches("web", UPLINK), "nobody needs the helper for that")
        self.helper.start()
        self.assertFalse(self.server.must(200, "PATCH", "/vms/web", {"nat": False})["nat"])
        # The VMM dies by itself, and so does the server before it can look.
        self.server.kill()
        for pid in processes_naming(vm["id"]):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        wait_until(lambda: not processes_naming(vm["id"]), "the VMM has ended")
        self.server.start()
        self.assertEqual("stopped", self.server.state("web"))
        wait_until(lambda: traces() == Bridge.before, "its network is taken away")
        self.assertEqual(vm["ip"], self.server.must(200, "POST", "/vms/web/start", wait=240)["ip"])
        for pid in processes_naming(vm["id"]):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        wait_until(lambda: self.server.state("web") == "failed" and traces() == Bridge.before,
                   "the end of the VMM alone is enough")
        self.server.delete("web")
        self.assert_clean()

    def test_without_a_helper(self):
        self.server.stop()
        away = self.helper.socket + ".away"
        os.rename(self.helper.socket, away)
        self.addCleanup(os.rename, away, self.helper.socket)
        self.server.start()
        problem = self.server.must(503, "POST", "/vms", {"name": "web", "image": "mini", **BRIDGE_SHAPE})
        self.assertIn("deploy/install", problem["detail"])
        self.assert_nothing_left()

    def test_names_are_not_asked_of_who_has_the_port(self):
        self.server.stop()
        for verb in ("dns.route", "dns.clear"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                if verb == "dns.clear":
                    other.bind(("127.0.0.1", DNS_PORT))
                self.server.start()
                before = len(self.helper.log())
                self.create("web")
                calls = [json.loads(line)["msg"] for line in self.helper.log()[before:].splitlines()]
                self.assertEqual([verb], [call for call in calls if call.startswith("dns.")])
                self.server.delete("web")
                self.server.stop()
        self.server.start()
        self.assert_clean()

    def dns_calls(self, since):
        return [call for call in (json.loads(line)["msg"] for line in self.helper.log()[since:].splitlines())
                if call.startswith("dns.")]

    def forget_names(self):
        return subprocess.run([os.environ["BANGER_SERVER"], "--home", self.home, "--forget-names"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def test_names_are_forgotten_with_the_server(self):
        self.create("web")
        since = len(self.helper.log())
        busy = self.forget_names()
        self.assertEqual(1, busy.returncode, "somebody answers them")
        self.assertIn("a server runs on this home", busy.stderr)
        self.server.kill()
        self.assertEqual([], self.dns_calls(since), "a crash is followed by a start")
        self.server.start()
        wait_until(lambda: self.dns_calls(since) == ["dns.route"], "names are routed again")
        self.server.stop()
        self.assertEqual(["dns.route", "dns.clear"], self.dns_calls(since), "an end in order takes them back")
        # Where systemd holds the socket, only that unit's end is for good.
        with socket.socket(socket.AF_UNIX) as listener:
            if os.path.exists(self.server.socket):
                os.unlink(self.server.socket)
            listener.bind(self.server.socket)
            listener.listen()
            held = subprocess.Popen(["sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}', "sh",
                                     os.environ["BANGER_SERVER"], "--home", self.home, "--no-tcp", "--agent",
                                     os.environ["BANGER_AGENT"]], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_until(lambda: self.dns_calls(since)[2:] == ["dns.route"], "this one routes them as well")
            finally:
                held.terminate()
                self.assertEqual(0, held.wait(60))
        os.unlink(self.server.socket)
        self.assertEqual(["dns.route"], self.dns_calls(since)[2:], "a restart leaves them alone")
        # Without systemd-resolved, what the helper runs fails; that it was asked counts.
        self.forget_names()
        self.assertEqual(["dns.route", "dns.clear"], self.dns_calls(since)[2:])
        self.server.start()
        self.server.delete("web")
        self.assert_clean()

    def test_after_each_end_by_force_a_delete_leaves_nothing(self):
        for victim in ("server", "helper", "VMM"):
            with self.subTest(victim=victim):
                vm = self.create("web")
                self.assertIn(self.tap(vm), traces()[0])
                if victim == "server":
                    self.server.kill()
                    self.server.start()
                elif victim == "helper":
                    self.helper.kill()
                    self.helper.start()
                else:
                    for pid in processes_naming(vm["id"]):
                        with contextlib.suppress(OSError):
                            os.kill(pid, 9)
                self.server.delete("web")
                self.assert_clean()

    def test_every_call_carries_its_operation(self):
        accepted = self.server.must(202, "POST", "/vms", {"name": "web", "image": "mini", **BRIDGE_SHAPE,
                                                          "boot": "template"})
        self.assertEqual("succeeded", self.server.wait_operation(accepted["id"])["state"])
        lines = [line for line in self.helper.log().splitlines() if accepted["id"] in line]
        self.assertTrue(any("tap.create" in line for line in lines), lines)
        self.server.delete("web")
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
