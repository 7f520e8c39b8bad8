# SPDX-License-Identifier: Apache-2.0
"""A guest made of frames: it writes Ethernet to a tap's descriptor and reads what comes back."""
import os
import select
import socket
import struct
import time

VNET = bytes(12 - 2)  # virtio-net header without offloads
BROADCAST = b"\xff" * 6


def ip_bytes(address):
    return struct.pack("!I", address)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def ipv4(src, dst, proto, payload):
    head = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0, src, dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp4(src, dst, sport, dport, data):
    # A checksum of 0 says "none" in IPv4.
    return ipv4(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data)


def icmp(src, dst, kind, data, number=7):
    body = struct.pack("!BBHHH", kind, 0, 0, number, 7) + data
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ipv4(src, dst, 1, body)


def icmp_echo(src, dst):
    return icmp(src, dst, 8, b"ping")


def ipv6(src, dst, proto, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 255) + src + dst + payload


def upper6(src, dst, proto, payload, at):
    """`payload` with its checksum at offset `at`, in its packet."""
    pseudo = src + dst + struct.pack("!II", len(payload), proto)
    value = checksum(pseudo + payload)
    return ipv6(src, dst, proto, payload[:at] + struct.pack("!H", value) + payload[at + 2:])


def udp6(src, dst, sport, dport, data):
    return upper6(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6)


def neighbour(kind, src, dst, target, mac):
    """Solicitation (135) or advertisement (136) with the hardware address as option."""
    option = bytes([1 if kind == 135 else 2, 1]) + mac
    flags = 0x60000000 if kind == 136 else 0
    body = struct.pack("!BBHI", kind, 0, 0, flags) + target + option
    return upper6(src, dst, 58, body, 2)


def behind(packet, kind, headers):
    """The packet with extension headers, the first of `kind`, in front of what it carries."""
    return ipv6(packet[8:24], packet[24:40], kind, headers + packet[40:])


def fragments6(packet, size):
    """The packet in two parts, the first of `size` bytes."""
    number = os.urandom(4)

    def part(offset, more, data):
        return ipv6(packet[8:24], packet[24:40], 44, struct.pack("!BBH", packet[6], 0, offset | more) + number + data)

    return [part(0, 1, packet[40:40 + size]), part(size, 0, packet[40 + size:])]


def vlan(tag, kind, payload):
    """What follows the type of a tagged frame."""
    return struct.pack("!HH", tag, kind) + payload


def arp(op, mac, src, dst_mac, dst):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac + ip_bytes(src) + dst_mac + ip_bytes(dst)


class Guest:
    """Its own addresses; answers ARP and neighbour solicitations while it waits."""

    def __init__(self, fd, address, mac, v6, gateway, gateway_mac):
        self.fd, self.address, self.mac, self.v6 = fd, address, mac, v6
        self.gateway, self.gateway_mac = gateway, gateway_mac

    def frame(self, data):
        os.write(self.fd, VNET + data)

    def ip(self, packet, dst_mac=None, src_mac=None):
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        self.frame(ether(dst_mac or self.gateway_mac, src_mac or self.mac, kind, packet))

    def udp(self, dst, dport, data, **kw):
        self.ip(udp4(kw.pop("src", self.address), dst, 5000, dport, data), **kw)

    def _answer(self, frame):
        kind = struct.unpack("!H", frame[12:14])[0]
        if kind == 0x0806 and frame[14 + 7] == 1 and frame[14 + 24:14 + 28] == ip_bytes(self.address):
            src = struct.unpack("!I", frame[28:32])[0]
            self.frame(ether(frame[6:12], self.mac, 0x0806,
                             arp(2, self.mac, self.address, frame[22:28], src)))
        if kind == 0x86DD and frame[20] == 58 and frame[54] == 135 and frame[62:78] == self.v6:
            self.ip(neighbour(136, self.v6, frame[22:38], self.v6, self.mac), dst_mac=frame[6:12])

    def wait(self, want, seconds=2.0):
        """True as soon as a frame comes for which want(frame) is true; False after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return False
            frame = os.read(self.fd, 65536)[len(VNET):]
            self._answer(frame)
            if want(frame):
                return True


def has(data):
    return lambda frame: data in frame


def v6_of(ula, address):
    return ula[:12] + ip_bytes(address)


def text6(v6):
    return socket.inet_ntop(socket.AF_INET6, v6)
