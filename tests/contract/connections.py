#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: connections.py <banger-server>

What a connection may do to others, or to the next request on itself: ten thousand that idle, clients that trickle or
close one half, requests that two programs would cut up differently (smuggling), and many requests in one packet.
After all of it the server answers as before, with the same memory.
"""
import contextlib
import os
import re
import resource
import socket
import sys
import time
import unittest

from server import Server

PROGRAM = None
IDLE = 10000
GROWTH_KIB = 2048
HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"
# What a request hidden in another one would do: it must never be answered.
HIDDEN = b"GET /problems/not_found" + HEAD + b"\r\n"


def read_replies(sock, count, timeout=10):
    """(status, body) of up to `count` replies, fewer when the server closes or is silent."""
    data, replies = b"", []
    sock.settimeout(timeout)
    while len(replies) < count:
        match = re.match(rb"HTTP/1\.1 (\d+) .*?\r\n\r\n", data, re.S)
        length = match and re.search(rb"(?i)\r\ncontent-length: *(\d+)", match[0])
        size = int(length[1]) if length else 0
        if match and len(data) >= match.end() + size:
            if match[1] != b"100":
                replies.append((int(match[1]), data[match.end():match.end() + size]))
            data = data[match.end() + size:]
            continue
        try:
            more = sock.recv(65536)
        except (TimeoutError, ConnectionError):
            break
        if not more:
            break
        data += more
    return replies


class Connections(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 1 << 20, hard))
        cls.server = Server(PROGRAM)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def connect(self, tcp=False):
        if tcp:
            return socket.create_connection(("127.0.0.1", self.server.port), 10)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(self.server.socket_path)
        return sock

    def send(self, data, count=8, tcp=False, close=False):
        """Statuses of all replies. What follows must not be waited for long: the end of the input says that all is there."""
        with self.connect(tcp) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
                if close:
                    sock.shutdown(socket.SHUT_WR)
            return read_replies(sock, count, 10 if close else 2)

    def answers(self, within=2):
        begun = time.monotonic()
        self.assertEqual(200, self.server.call("GET", "/healthz")[0])
        self.assertLess(time.monotonic() - begun, within)

    def no_growth(self, before):
        if not os.environ.get("BANGER_SANITIZED"):
            self.assertLessEqual(self.server.rss_kib() - before, GROWTH_KIB, "KiB more than before")

    # --- many ---

    def crowd(self, tcp):
        """So many at once that the server has to part with the oldest; those that come still get through."""
        idle = []
        try:
            for i in range(IDLE):
                sock = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
                sock.settimeout(10)
                sock.connect(("127.0.0.1", self.server.port) if tcp else self.server.socket_path)
                with contextlib.suppress(ConnectionError):
                    sock.sendall((b"", b"G", b"GET /healthz" + HEAD, b"POST /vms" + HEAD + b"Content-Length: 9\r\n\r\n{")[i % 4])
                idle.append(sock)
                if i % 1000 == 999:
                    self.answers()
            newest = idle[-4]
            newest.sendall(b"GET /healthz" + HEAD + b"\r\n")
            self.assertEqual([200], [status for status, _ in read_replies(newest, 1)])
        finally:
            for sock in idle:
                sock.close()

    def settled(self):
        """All of them have been noticed as gone."""
        end = time.monotonic() + 20
        while len(os.listdir(f"/proc/{self.server.process.pid}/fd")) > 60:
            self.assertLess(time.monotonic(), end, "connections are not closed")
            time.sleep(0.1)
        self.answers()

    def test_ten_thousand_idle(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < IDLE + 100:
            self.skipTest(f"this process may have {hard} descriptors only")
        for tcp in (False, True):
            self.crowd(tcp)
            self.settled()
            before = self.server.rss_kib()
            self.crowd(tcp)
            self.settled()
            self.no_growth(before)

    def test_trickling_bytes(self):
        """One byte now and then holds nobody up."""
        socks = [self.connect(tcp=i % 2 == 0) for i in range(200)]
        for byte in b"GET /healthz" + HEAD:
            for sock in socks:
                sock.sendall(bytes([byte]))
        self.answers()
        for sock in socks:
            sock.sendall(b"\r\n")
        self.assertEqual([200] * 200, [read_replies(sock, 1)[0][0] for sock in socks])
        for sock in socks:
            sock.close()

    # --- half-close ---

    def test_half_closed(self):
        """A client that has sent all and closed its half still gets what does not have to be waited for."""
        body = b'{"vcpus":0}'
        get = b"GET /healthz" + HEAD + b"\r\n"
        post = b"POST /vms" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self.assertEqual([422], [s for s, _ in self.send(post, 1, close=True)])
        for tcp in (False, True):
            self.assertEqual([200], [s for s, _ in self.send(get, 1, tcp, close=True)])
            # Half a request and no more to come: the connection is closed, not kept.
            for part in (b"GET /he", get[:-2], post[:-3]):
                with self.connect(tcp) as sock:
                    sock.sendall(part)
                    # Not in one event with the bytes: libmicrohttpd sees that end only when its time is over.
                    time.sleep(0.1)
                    sock.shutdown(socket.SHUT_WR)
                    sock.settimeout(10)
                    begun = time.monotonic()
                    with contextlib.suppress(ConnectionError):
                        while sock.recv(65536):
                            pass
                    self.assertLess(time.monotonic() - begun, 5, part)
        self.settled()

    def test_a_stream_whose_reader_is_half_closed(self):
        before = len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
        for _ in range(50):
            with self.connect() as sock:
                sock.sendall(b"GET /events" + HEAD + b"Accept: text/event-stream\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1000)
        time.sleep(0.2)
        self.assertLessEqual(len(os.listdir(f"/proc/{self.server.process.pid}/fd")), before + 2)

    # --- smuggling ---

    def refused(self, name, data):
        """Refused, and closed: nothing behind it is taken for a request."""
        with self.subTest(name):
            for tcp in (False, True):
                with self.connect(tcp) as sock:
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(data + HIDDEN)
                    replies = read_replies(sock, 8)
                    # What libmicrohttpd itself refuses it may say twice.
                    self.assertLessEqual({status for status, _ in replies}, {400, 413, 501, 505}, (name, replies))
                    with contextlib.suppress(ConnectionError):
                        self.assertEqual(b"", sock.recv(1000), name)
            self.answers()

    def test_smuggling(self):
        token = self.server.json("POST", "/tokens", {"name": "smuggler", "scope": "admin"})[2]["token"].encode()
        post = b"POST /tokens" + HEAD + b"Authorization: Bearer " + token + b"\r\n"
        chunks = b"0\r\n\r\n"
        hidden = b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"
        cases = {
            "length and chunks": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
            "chunks and length": post + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + chunks,
            "length and hidden in chunks": post + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
            "two lengths": post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "a list of lengths": post + b"Content-Length: 2, 3\r\n\r\n{}",
            "a length with a sign": post + b"Content-Length: +2\r\n\r\n{}",
            "a length in hex": post + b"Content-Length: 0x2\r\n\r\n{}",
            "a length and blanks": post + b"Content-Length: 2 2\r\n\r\n{}",
            "a negative length": post + b"Content-Length: -2\r\n\r\n{}",
            "an endless length": post + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
            "a coding nobody knows": post + b"Transfer-Encoding: cow\r\n\r\n" + chunks,
            "chunked not last": post + b"Transfer-Encoding: chunked, identity\r\n\r\n" + chunks,
            "chunked twice": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
            "a vertical tab": post + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + chunks,
            "blank before the colon": post + b"Transfer-Encoding : chunked\r\n\r\n" + chunks,
            "a folded coding": post + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks,
            "a folded length": post + b"Content-Length:\r\n 2\r\n\r\n{}",
            "a length that is folded on": post + b"Content-Length: 2\r\n 3\r\n\r\n{}",
            "a size that overflows": post + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
            "a chunk of no size": post + b"Transfer-Encoding: chunked\r\n\r\n;x\r\n{}\r\n0\r\n\r\n",
            "a chunk too short": post + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n0\r\n\r\n",
            "nul in a name": post + b"Content-Len\x00gth: 2\r\n\r\n{}",
        }
        for name, data in cases.items():
            self.refused(name, data)
        self.assertEqual(["smuggler"], [t["name"] for t in self.server.json("GET", "/tokens")[2]["items"]])

    def test_a_body_is_not_a_request(self):
        """Also where the request is refused before its body has been read, the connection stays in step."""
        body = HIDDEN + HIDDEN
        for target, status in (("/tokens", 400), ("/nowhere", 404), ("/healthz", 405), ("/vms", 400)):
            head = f"POST {target}".encode() + HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
            replies = self.send(head + body + b"GET /version" + HEAD + b"\r\n")
            self.assertEqual(status, replies[0][0], replies)
            self.assertLessEqual(len(replies), 2, replies)
            if len(replies) == 2:
                self.assertIn(b'"version"', replies[1][1])

    # --- pipelining ---

    def test_pipelined(self):
        """Many requests in one packet are answered one by one, in order; those that have to wait hold up those behind them."""
        bad = b'{"vcpus":0}'
        post = b"POST /vms" + HEAD + b"Content-Length: %d\r\n\r\n" % len(bad) + bad
        chunked = b"POST /vms" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + bad + b"\r\n0\r\n\r\n"
        wait = b"GET /events?follow=false" + HEAD + b"Accept: application/x-ndjson\r\n\r\n"
        get = b"GET /healthz" + HEAD + b"\r\n"
        absent = b"GET /vms/nobody" + HEAD + b"\r\n"
        round_ = get + post + get + chunked + absent
        replies = self.send(round_ * 200, 1000)
        self.assertEqual([200, 422, 200, 422, 404] * 200, [s for s, _ in replies])
        with self.connect() as sock:
            # All but the last byte of the last one.
            sock.sendall((get * 50)[:-1])
            self.assertEqual(49, len(read_replies(sock, 50, 0.5)))
            sock.sendall(b"\n" + wait + get)
            self.assertEqual(200, read_replies(sock, 1)[0][0])

    def test_a_client_that_never_reads(self):
        """Replies nobody takes are not piled up: the server stops to read instead."""
        before, socks = self.server.rss_kib(), []
        for _ in range(20):
            sock = self.connect()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(5000):
                    sock.send((b"GET /openapi.json" + HEAD + b"\r\n") * 20)
            socks.append(sock)
        self.answers()
        self.assertLess(self.server.rss_kib() - before, 20 * 1024)
        for sock in socks:
            sock.close()
        self.settled()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
