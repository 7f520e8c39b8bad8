# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client (RFC 6455) on the server's unix socket, as much of one as the tests need."""
import base64
import hashlib
import json
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body[:300]!r}")
        self.status = status


class WebSocket:
    def __init__(self, path, target, timeout=60, headers=None):
        """`path` of a unix socket, or a port of 127.0.0.1."""
        if isinstance(path, int):
            self.sock = socket.create_connection(("127.0.0.1", path), timeout)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        self.data = b""
        self.output = b""
        self.messages = []
        self.closed = None
        key = base64.b64encode(os.urandom(16)).decode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **(headers or {})}.items())
        self.sock.sendall(f"GET {target} HTTP/1.1\r\n{lines}Connection: Upgrade\r\nUpgrade: websocket\r\n"
                          f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 101:
            self.sock.close()
            raise Refused(status, self.data)
        # Whether it is the answer to this client's key.
        answer = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        self.answered = f"sec-websocket-accept: {answer}\r\n".lower() in f"{head.decode()}\r\n".lower()

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError(f"the connection ended; output so far: {self.output[-500:]!r}")
        self.data += got

    def take(self, n):
        while len(self.data) < n:
            self.more()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def receive(self):
        """One message: output is collected, texts are kept as objects."""
        first, length = self.take(2)
        length &= 127
        if length == 126:
            length = struct.unpack(">H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.take(8))[0]
        payload = self.take(length)
        kind = first & 15
        if kind == BINARY:
            self.output += payload
        elif kind == TEXT:
            self.messages.append(json.loads(payload))
        elif kind == CLOSE:
            self.closed = struct.unpack(">H", payload[:2])[0] if payload else 1005
        return kind

    def send(self, payload, kind=BINARY):
        if isinstance(payload, str):
            payload = payload.encode()
        mask = os.urandom(4)
        head = bytes([0x80 | kind])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
        masked = bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
        self.sock.sendall(head + mask + masked)

    def say(self, message):
        self.send(json.dumps(message), TEXT)

    def until(self, text):
        """Reads until the output has it; returns the output."""
        if isinstance(text, str):
            text = text.encode()
        while text not in self.output:
            self.receive()
            if self.closed is not None:
                raise EOFError(f"closed with {self.closed}: {self.output[-500:]!r} {self.messages[-2:]}")
        return self.output

    def until_message(self, kind):
        while not [m for m in self.messages if m["type"] == kind]:
            self.receive()
            if self.closed is not None:
                break
        return next(m for m in self.messages if m["type"] == kind)

    def until_closed(self):
        while self.closed is None:
            self.receive()
        return self.closed

    def drop(self):
        """As a network that breaks."""
        self.sock.close()
