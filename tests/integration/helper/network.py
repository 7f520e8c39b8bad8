#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: network.py HELPER
The bridge network for real, in network namespaces of its own: a fake uplink host behind a veth
pair, and guests that are taps fed with frames. Exit status 77: not root, nothing was tested.
"""
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from frames import (BROADCAST, Guest, arp, behind, ether, fragments6, has, icmp, icmp_echo, ip_bytes,  # noqa: E402
                    neighbour, udp4, udp6, upper6, v6_of, vlan)
from wire import NAT, OPEN, PERSIST, Helper, net_body  # noqa: E402

SUBNET = 0x0AD10000
GATEWAY = SUBNET + 1
GATEWAY_MAC = b"\x02b" + ip_bytes(GATEWAY)
UPLINK, HOST = 0xC0000202, 0xC0000201  # 192.0.2.2 and .1
ULA = b"\xfdbangr" + bytes(10)
METADATA = 0xA9FEA9FE  # 169.254.169.254, where clouds tell a host its secrets
RESERVED = [b"\x01\x80\xc2\0\0" + bytes([n]) for n in range(16)]  # what no bridge forwards
UPLINK6 = socket.inet_pton(socket.AF_INET6, "2001:db8::2")
PORT = 7000
CONNECTIONS = 8192  # of one guest
passed = 0


def run(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def check(what, truth):
    global passed
    if not truth:
        print("not ok: " + what)
        print(run("nft", "list", "ruleset", check=False))
        sys.exit(1)
    passed += 1
    print("ok: " + what)


def vm(n):
    return ("0123456789abcd%02d" % n).encode()


def mac_of(address):
    return b"\x02b" + ip_bytes(address)


def rules():
    """What the tables hold, without handles and counts."""
    return [line.split(" packets ")[0] for line in run("nft", "list", "ruleset").splitlines()]


def links():
    return sorted(o["ifname"] for o in json.loads(run("ip", "-j", "link")))


def counter(text, family="inet"):
    """Packets counted by the rule that starts with `text`, of one of the two tables."""
    for line in run("nft", "list", "table", family, "banger").splitlines():
        if line.strip().startswith(text) and "counter" in line:
            return int(line.split("packets ")[1].split()[0])
    raise AssertionError("no rule " + text)


# Its pid in the name: /run/netns is everybody's.
NETNS = f"banger-uplink-{os.getpid()}"


class Uplink:
    """A host on the other side that says who spoke to it."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{NETNS}", sys.executable, "-c", UPLINK_PROGRAM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.lines = []
        self.more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line.split())
                self.more.notify_all()

    def heard(self, data, seconds=2.0):
        """The address that `data` came from, or None."""
        end = time.monotonic() + seconds
        with self.more:
            while True:
                for address, text in self.lines:
                    if text == data:
                        return address
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.more.wait(left)

    def stop(self):
        self.process.kill()
        self.process.wait()


UPLINK_PROGRAM = f"""
import socket, select
socks = []
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any, {PORT}))
    socks.append(s)
print("ready", flush=True)
while True:
    for s in select.select(socks, [], [])[0]:
        data, peer = s.recvfrom(2048)
        print(peer[0], data.decode(), flush=True)
        s.sendto(b"echo-" + data, peer)
"""


def make_hosts():
    run("ip", "link", "set", "lo", "up")
    run("ip", "netns", "add", NETNS)
    run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", NETNS)
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
    run("ip", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad")
    run("ip", "link", "set", "up0", "up")
    run("ip", "route", "add", "169.254.169.254", "dev", "up0")
    for args in (("link", "set", "lo", "up"), ("addr", "add", "192.0.2.2/24", "dev", "up1"),
                 ("addr", "add", "2001:db8::2/64", "dev", "up1", "nodad"),
                 ("addr", "add", "169.254.169.254/32", "dev", "up1"), ("link", "set", "up1", "up")):
        # Not `ip -n`, which wants / to be a mount point: that it is not in a chroot.
        run("nsenter", f"--net=/run/netns/{NETNS}", "ip", *args)
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        with open("/proc/sys/net/" + name, "w", encoding="ascii") as f:
            f.write("1")


def create(client, n, flags=0):
    address = SUBNET + 16 + n
    reply = client.call("tap.create", net_body(vm(n), address, flags))
    assert reply and reply.result == 0, (reply and reply.reason)
    assert reply.fd >= 0
    return Guest(reply.fd, address, mac_of(address), v6_of(ULA, address), GATEWAY, GATEWAY_MAC)


def delete(client, n):
    reply = client.call("tap.delete", net_body(vm(n), SUBNET + 16 + n))
    return reply.result == 0


def nat(client, n, on):
    op = "nat.ensure" if on else "nat.remove"
    return client.call(op, net_body(vm(n), SUBNET + 16 + n)).result == 0


def test_nat(client, uplink):
    a = create(client, 1)
    b = create(client, 2, NAT)
    a.udp(UPLINK, PORT, b"a1")
    b.udp(UPLINK, PORT, b"b1")
    check("a guest with NAT is heard with the host's address", uplink.heard("b1") == "192.0.2.1")
    check("the reply finds its way back", b.wait(has(b"echo-b1")))
    check("a guest without NAT is not heard", uplink.heard("a1", 0.3) is None)
    check("NAT is switched on while the guest runs", nat(client, 1, True))
    a.udp(UPLINK, PORT, b"a2")
    check("then it is heard", uplink.heard("a2") == "192.0.2.1" and a.wait(has(b"echo-a2")))
    before = counter('oifname != "br-banger" ip saddr')
    check("switching on again changes nothing", nat(client, 1, True))
    check("NAT is counted", before >= 2)
    check("NAT is switched off while the guest runs", nat(client, 1, False))
    a.udp(UPLINK, PORT, b"a3")
    check("then nothing passes, not even what was under way", uplink.heard("a3", 0.3) is None)
    check("the other guest goes on", (b.udp(UPLINK, PORT, b"b2"), uplink.heard("b2"))[1])
    b.ip(udp6(b.v6, UPLINK6, 5000, PORT, b"b6"))
    check("IPv6 goes out with the host's address", uplink.heard("b6") == "2001:db8::1")
    check("and comes back", b.wait(has(b"echo-b6")))
    a.ip(udp6(a.v6, UPLINK6, 5000, PORT, b"a6"))
    check("IPv6 without NAT does not", uplink.heard("a6", 0.3) is None)
    b.udp(METADATA, PORT, b"metadata")
    check("a cloud's metadata is out of a guest's reach", uplink.heard("metadata", 0.3) is None)
    return a, b


def test_host(a):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", PORT))
    server.settimeout(0.3)
    a.ip(icmp_echo(a.address, GATEWAY))
    check("the gateway answers a ping", a.wait(has(b"ping")))
    heard = []
    for dst in (GATEWAY, HOST):
        a.udp(dst, PORT, b"to-the-host")
        try:
            heard.append(server.recv(100))
        except TimeoutError:
            pass
    check("services of the host are out of a guest's reach", not heard)
    a.ip(icmp(a.address, GATEWAY, 13, bytes(12)))
    a.ip(icmp_echo(a.address, GATEWAY))
    replies = []
    check("the gateway answers a ping again", a.wait(lambda f: replies.append(f[34]) or b"ping" in f))
    check("but asked for its time (ICMP 13) it says nothing", 14 not in replies)
    server.sendto(b"from-the-host", (socket.inet_ntoa(ip_bytes(a.address)), 5000))
    check("the host reaches the guest", a.wait(has(b"from-the-host")))
    a.udp(GATEWAY, PORT, b"reply")
    check("and hears its reply", server.recv(100) == b"reply")
    server.close()


def test_spoofing(a, b, uplink):
    b.udp(UPLINK, PORT, b"spoof-ip", src=b.address + 1)
    b.udp(UPLINK, PORT, b"spoof-gw", src=GATEWAY)
    b.udp(UPLINK, PORT, b"spoof-mac", src_mac=a.mac)
    b.udp(UPLINK, PORT, b"good")
    check("the guest's own address passes", uplink.heard("good") is not None)
    for data in ("spoof-ip", "spoof-gw", "spoof-mac"):
        check(data + " is dropped", uplink.heard(data, 0.1) is None)
    b.ip(udp6(v6_of(ULA, b.address + 1), UPLINK6, 5000, PORT, b"spoof6"))
    check("another IPv6 address is dropped", uplink.heard("spoof6", 0.2) is None)

    def known(address):
        out = run("ip", "-j", "neigh", "show", address, "dev", "br-banger")
        return [o.get("lladdr") for o in json.loads(out or "[]")]

    a_text = socket.inet_ntoa(ip_bytes(a.address))
    before = known(a_text)
    b.frame(ether(BROADCAST, b.mac, 0x0806, arp(2, b.mac, a.address, GATEWAY_MAC, GATEWAY)))
    b.frame(ether(BROADCAST, b.mac, 0x0806, arp(1, b.mac, a.address, bytes(6), GATEWAY)))
    b.frame(ether(GATEWAY_MAC, b.mac, 0x0806, arp(2, a.mac, a.address, GATEWAY_MAC, GATEWAY)))
    gateway6 = v6_of(ULA, GATEWAY)
    b.ip(neighbour(136, b.v6, gateway6, a.v6, b.mac))
    b.ip(icmp_echo(b.address, GATEWAY))
    check("frames behind the lies arrive", b.wait(has(b"ping")))
    check("ARP for another guest's address is dropped", known(a_text) == before)
    check("so is an IPv6 advertisement for it", text_mac(b) not in known6(a))
    advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    b.ip(b"\x60\0\0\0" + struct.pack("!HBB", len(advert), 58, 255) + b.v6 + gateway6 + advert)
    b.ip(icmp_echo(b.address, GATEWAY))
    check("frames behind it arrive", b.wait(has(b"ping")))
    for text, n in (("icmpv6 type { nd-", 2), ("iifname . ether saddr !=", 1), ("iifname . ip6 saddr !=", 1),
                    ("ether type != ip6", 5)):
        check("counted: " + text, counter(text, "bridge") == n)


def text_mac(guest):
    return ":".join("%02x" % x for x in guest.mac)


def known6(guest):
    """Hardware addresses that the host has for the guest."""
    out = run("ip", "-j", "neigh", "show", socket.inet_ntop(socket.AF_INET6, guest.v6), "dev", "br-banger")
    return [o.get("lladdr") for o in json.loads(out or "[]")]


def test_hidden_advertisements(a, b, uplink):
    """An advertisement for another guest's address, behind whatever may keep the rules from seeing it."""
    gateway6 = v6_of(ULA, GATEWAY)
    lie = neighbour(136, b.v6, gateway6, a.v6, b.mac)

    def padding(following):
        return bytes([following, 0, 1, 4, 0, 0, 0, 0])

    optioned, twice = behind(lie, 60, padding(58)), behind(lie, 60, padding(60) + padding(58))
    plain, tagged = 0x86DD, vlan(0, 0x86DD, lie)
    ways = {"options": [(plain, optioned)],
            "a fragment's header": [(plain, behind(lie, 44, bytes([58, 0, 0, 0, 0, 0, 0, 1])))],
            "two fragments": [(plain, p) for p in fragments6(lie, 8)],
            "two fragments, options in the first": [(plain, p) for p in fragments6(optioned, 8)],
            "two fragments, options in both": [(plain, p) for p in fragments6(twice, 8)],
            "a priority tag": [(0x8100, tagged)],
            "a service tag": [(0x88A8, tagged)]}
    for what, frames in ways.items():
        a.ip(neighbour(135, a.v6, gateway6, gateway6, a.mac))
        check("the gateway knows a guest", a.wait(lambda f: f[20] == 58 and f[54] == 136))
        for kind, payload in frames:
            b.frame(ether(GATEWAY_MAC, b.mac, kind, payload))
        b.ip(icmp_echo(b.address, GATEWAY))
        check("frames behind the lie arrive", b.wait(has(b"ping")))
        check("an advertisement behind " + what + " is dropped", known6(a) == [text_mac(a)])
    for part in fragments6(udp6(b.v6, UPLINK6, 5000, PORT, b"in-parts"), 8):
        b.ip(part)
    check("other fragments pass", uplink.heard("in-parts"))
    ping = struct.pack("!BBHHH", 128, 0, 0, 1, 1) + b"ping-in-parts"
    for part in fragments6(upper6(b.v6, gateway6, 58, ping, 2), 8):
        b.ip(part)
    check("a ping in parts is answered", b.wait(lambda f: f[20] == 58 and b"ping-in-parts" in f))


def test_reserved(a, b):
    """Frames to the addresses that a bridge keeps to itself: the host takes them as the tap's own."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", PORT))
    server.settimeout(0.3)

    def fdb():
        return [o["mac"] for o in json.loads(run("bridge", "-j", "fdb", "show", "dev", "bgr456789abcd01"))]

    before = fdb()
    for address in RESERVED:
        a.ip(udp6(a.v6, v6_of(ULA, GATEWAY), 5000, PORT, b"reserved"), dst_mac=address)
        a.ip(udp6(b.v6, v6_of(ULA, GATEWAY), 5000, PORT, b"reserved"), dst_mac=address)
        a.udp(GATEWAY, PORT, b"reserved", dst_mac=address)
        a.frame(ether(address, b.mac, 0x88CC, bytes(46)))
    a.ip(icmp_echo(a.address, GATEWAY))
    check("frames behind them arrive", a.wait(has(b"ping")))
    try:
        heard = server.recv(100)
    except TimeoutError:
        heard = None
    check("no service of the host hears what no bridge forwards", heard is None)
    check("the bridge learns no address from it", fdb() == before)
    server.close()


def test_isolation(client, a, b):
    a.frame(ether(b.mac, a.mac, 0x88B5, b"direct"))
    a.frame(ether(BROADCAST, a.mac, 0x0806, arp(1, a.mac, a.address, bytes(6), b.address)))
    a.udp(b.address, PORT, b"over-the-host")
    a.udp(b.address, PORT, b"same-wire", dst_mac=b.mac)
    check("guests do not hear each other",
          not b.wait(lambda f: a.mac in f or b"over-the-host" in f or b"same-wire" in f, 0.5))
    c, d = create(client, 3, OPEN), create(client, 4, OPEN)
    c.frame(ether(BROADCAST, c.mac, 0x0806, arp(1, c.mac, c.address, bytes(6), d.address)))
    check("open guests do", d.wait(has(c.mac)))
    c.udp(d.address, PORT, b"open", dst_mac=d.mac)
    check("and talk", d.wait(has(b"open")))
    c.udp(d.address, PORT, b"open-lie", dst_mac=d.mac, src=a.address)
    check("under their own address only", not d.wait(has(b"open-lie"), 0.3))
    c.udp(a.address, PORT, b"open-to-closed", dst_mac=a.mac)
    c.udp(a.address, PORT, b"open-over-host")
    check("a closed guest does not hear an open one", not a.wait(has(b"open-"), 0.4))
    for n, guest in ((3, c), (4, d)):
        os.close(guest.fd)
        check("deleted", delete(client, n))


def tracked():
    """Connections that the host keeps."""
    with open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as f:
        return int(f.read())


def test_flood(client, uplink):
    """A guest that opens more connections than the host can keep of all its guests."""
    a, b = create(client, 10, NAT), create(client, 11, NAT)
    before = tracked()
    for n in range(CONNECTIONS + 500):
        a.ip(udp4(a.address, UPLINK, 2000 + n % 2, 10000 + n // 2, b"flood"))
        if n % 9 == 0:
            a.ip(udp6(a.v6, UPLINK6, 4000, 10000 + n, b"flood"))
            a.ip(icmp(a.address, GATEWAY, 8, b"flood", n))
    a.ip(icmp_echo(a.address, GATEWAY))
    check("a flood of connections has an end", CONNECTIONS // 2 < tracked() - before <= CONNECTIONS + 8)
    check("what is too much is counted", counter('iifname "br-banger" ct state new add') >= 500)
    b.udp(UPLINK, PORT, b"beside-a-flood")
    check("another guest is heard beside it", uplink.heard("beside-a-flood") == "192.0.2.1")
    for n, guest in ((10, a), (11, b)):
        os.close(guest.fd)
        check("deleted", delete(client, n))


def flush_rules(client, helper, before_links, before_rules):
    """Somebody loads a packet filter of their own, which begins with "flush ruleset"."""
    guest = create(client, 7, NAT)
    guest.ip(icmp_echo(guest.address, GATEWAY))
    check("the gateway answers", guest.wait(has(b"ping")))
    run("nft", "flush", "ruleset")
    for _ in range(1000):
        if rules() == before_rules:
            break
        time.sleep(0.01)
    check("the rules are made anew at once", rules() == before_rules)
    guest.ip(icmp_echo(guest.address, GATEWAY))
    check("a guest that runs is cut off", not guest.wait(has(b"ping"), 0.3))
    os.close(guest.fd)
    check("until it is made anew", delete(client, 7) and links() == before_links)
    guest = create(client, 7)
    guest.ip(icmp_echo(guest.address, GATEWAY))
    check("which it is", guest.wait(has(b"ping")))
    os.close(guest.fd)
    check("deleted once more", delete(client, 7))
    # A helper that has not made them leaves it to bridge.ensure.
    helper.kill()
    helper.start()
    client = helper.client()
    run("nft", "flush", "ruleset")
    reply = client.call("tap.create", net_body(vm(1), SUBNET + 17))
    check("no tap where somebody has flushed the rules", reply.reason == "no-bridge" and links() == before_links)
    check("its deletion is fine", delete(client, 1) and nat(client, 1, False))
    check("no NAT either", client.call("nat.ensure", net_body(vm(1), SUBNET + 17)).reason == "no-bridge")
    check("bridge.ensure makes them anew", client.call("bridge.ensure").result == 0 and rules() == before_rules)
    return client


def test_end(helper, client, before_links, before_rules):
    reply = client.call("tap.create", net_body(vm(1), SUBNET + 17))
    check("a tap that is there is not handed out again", reply.reason == "busy")
    for n in (1, 2):
        check("delete while the VMM still holds the tap", delete(client, n))
        check("delete again", delete(client, n))
    check("no interface is left", links() == before_links)
    check("no rule is left", rules() == before_rules)
    # A VMM that was killed: the tap goes with its descriptor, the rules with tap.delete.
    guest = create(client, 5, NAT)
    os.close(guest.fd)
    # The helper's own descriptor is closed behind the reply, so before the next one.
    check("the helper goes on", client.call("status").result == 0)
    check("the interface went with the VMM", links() == before_links)
    again = create(client, 5, NAT)
    check("and can be made anew", "bgr456789abcd05" in links())
    # A helper that was killed: what it had made is found by name.
    kept = create(client, 6, PERSIST | NAT)
    helper.kill()
    helper.start()
    client = helper.client()
    os.close(kept.fd)
    check("a lasting tap survives VMM and helper", "bgr456789abcd06" in links())
    check("bridge.ensure leaves guests alone", client.call("bridge.ensure").result == 0)
    check("their rules are still there", "bgr456789abcd06" in run("nft", "list", "set", "bridge", "banger", "guests"))
    check("cleaned up after the restart", delete(client, 5) and delete(client, 6))
    os.close(again.fd)
    check("no interface is left in the end", links() == before_links)
    check("no rule is left in the end", rules() == before_rules)
    many = ",".join('"bgr%d" . 10.209.9.%d' % (n, n % 256) for n in range(4096))
    subprocess.run(["nft", "-f", "-"], input="add element bridge banger guest4 {" + many + "}", text=True, check=True)
    reply = client.call("tap.create", net_body(vm(1), SUBNET + 17))
    check("what is made and never taken away has an end", reply.reason == "host" and links() == before_links)
    run("nft", "flush", "set", "bridge", "banger", "guest4")
    client = flush_rules(client, helper, before_links, before_rules)
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as f:
        f.write("0")
    check("no NAT without forwarding",
          client.call("nat.ensure", net_body(vm(1), SUBNET + 17)).reason == "no-forwarding")
    return client


def measure(client):
    """Time of one tap with NAT, made and taken away."""
    times = []
    for _ in range(10):
        start = time.monotonic()
        guest = create(client, 9)
        times.append(time.monotonic() - start)
        os.close(guest.fd)
        delete(client, 9)
    times.sort()
    print("tap with its rules: median %.1f ms, least %.1f ms" %
          (times[len(times) // 2] * 1000, times[0] * 1000))


def main():
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces, taps and nftables")
        return 77
    if os.environ.get("BANGER_NETNS") != "1":
        os.environ["BANGER_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable,
                              os.path.abspath(__file__), *sys.argv[1:]])
    folder = tempfile.mkdtemp(prefix="banger-net-")
    os.chmod(folder, 0o711)
    make_hosts()
    helper = Helper(os.path.abspath(sys.argv[1]), folder)
    uplink = Uplink()
    try:
        client = helper.client()
        reply = client.call("tap.create", net_body(vm(1), SUBNET + 17))
        check("no tap without a bridge", reply.reason == "no-bridge")
        status = struct.unpack("<16sII", client.call("status").body)
        check("the kernel takes all the rules", status[1:] == (0, 0))
        check("and was asked without leaving anything", rules() == [])
        check("tap.delete without a bridge is fine", delete(client, 1))
        reply = client.call("bridge.ensure")
        check("the bridge is made", reply.result == 0)
        check("its IPv6 addresses can be used at once", not [
            a for o in json.loads(run("ip", "-j", "-6", "addr", "show", "dev", "br-banger"))
            for a in o["addr_info"] if a.get("tentative")])
        check("its network is told", struct.unpack("<II16s", reply.body) == (SUBNET, 16, ULA))
        check("its addresses can be used at once", [] == [
            a for link in json.loads(run("ip", "-j", "-6", "addr", "show", "dev", "br-banger"))
            for a in link["addr_info"] if a.get("tentative")])
        before_links, before_rules = links(), rules()
        check("bridge.ensure again", client.call("bridge.ensure").result == 0)
        check("changes nothing", (links(), rules()) == (before_links, before_rules))
        a, b = test_nat(client, uplink)
        test_host(a)
        test_spoofing(a, b, uplink)
        test_hidden_advertisements(a, b, uplink)
        test_reserved(a, b)
        test_isolation(client, a, b)
        test_flood(client, uplink)
        client = test_end(helper, client, before_links, before_rules)
        measure(client)
        check("the helper ends in order", helper.stop() == 0)
        check("its socket is gone", not os.path.exists(helper.path))
    except BaseException:
        print(helper.log())
        raise
    finally:
        uplink.stop()
        run("ip", "netns", "delete", NETNS, check=False)
        if helper.process.poll() is None:
            helper.kill()
        shutil.rmtree(folder)
    print("%d passed, 0 failed" % passed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
