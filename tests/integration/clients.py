# SPDX-License-Identifier: Apache-2.0
"""Clients that leave, stop half-way, or send nonsense: nothing is left, and others are served."""
import json
import socket
import unittest

from harness import SHAPE, LifeTest, wait_until


class Clients(LifeTest):
    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.server.socket)
        return s

    def send(self, method, target, body, wait=None):
        """A request whose answer nobody reads yet."""
        data = json.dumps(body).encode()
        s = self.connect()
        s.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(data)}\r\n".encode() +
                  (f"Prefer: wait={wait}\r\n".encode() if wait else b"") + b"\r\n" + data)
        return s

    def test_leaving_a_create_does_not_stop_it(self):
        self.server.start()
        s = self.send("POST", "/vms", {"name": "left", "image": "mini", **SHAPE}, wait=120)
        wait_until(lambda: "left" in self.server.names(), "the VM exists")
        s.close()
        wait_until(lambda: self.server.state("left") == "running", "the VM runs", 240)
        self.server.delete("left")
        self.assert_nothing_left()

    def test_leaving_cancels_what_was_asked_so(self):
        self.server.start()
        self.server.must(201, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "start": False})
        for target, body, kind in (("/vms", {"name": "b", "image": "mini", **SHAPE, "boot": "cold"}, "vm.create"),
                                   ("/vms/actions", {"action": "start", "vms": ["a"]}, "vm.start")):
            with self.subTest(target=target):
                s = self.send("POST", target, body, wait="240, on-disconnect=cancel")
                wait_until(self.server.vmms, "the VMM runs")
                s.close()
                operation = next(o for o in self.server.must(200, "GET", "/operations")["items"] if o["kind"] == kind)
                self.assertEqual("cancelled", self.server.wait_operation(operation["id"])["state"])
                wait_until(lambda: not self.server.vmms(), "the VMM is gone")
        for name in self.server.names():
            self.server.delete(name)
        self.assert_nothing_left()

    def test_leaving_an_exec_ends_the_command(self):
        self.server.start()
        self.server.create("a")
        before = self.server.descriptors()
        s = self.send("POST", "/vms/a/exec", {"argv": ["sleep", "4242"]})
        wait_until(lambda: "4242" in self.server.run("a", "ps"), "the command runs")
        s.close()
        wait_until(lambda: "4242" not in self.server.run("a", "ps"), "the command has been ended")
        wait_until(lambda: self.server.descriptors() <= before + 1, "its descriptors are closed")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_leaving_in_the_middle_of_output(self):
        self.server.start()
        self.server.create("a")
        before = self.server.descriptors()
        for _ in range(5):
            s = self.connect()
            body = json.dumps({"argv": ["yes"]}).encode()
            s.sendall(b"POST /vms/a/exec HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n"
                      b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertIn(b"200", s.recv(4096))
            s.close()
        wait_until(lambda: "yes" not in self.server.run("a", "ps"), "the commands have been ended")
        wait_until(lambda: self.server.descriptors() <= before + 1, "their descriptors are closed")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_truncated_requests(self):
        self.server.start()
        before = self.server.descriptors()
        whole = (b"POST /vms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 b"Content-Length: 40\r\n\r\n{\"name\": \"cut\", \"image\": \"mini\", \"start")
        for length in (1, 10, 30, 70, len(whole) - 10, len(whole)):
            s = self.connect()
            s.sendall(whole[:length])
            s.close()
        for junk in (b"\0" * 300, b"GET\r\n\r\n", b"GET /vms HTTP/9.9\r\n\r\n", b"\x16\x03\x01" * 50):
            s = self.connect()
            s.sendall(junk)
            s.settimeout(2)
            try:
                s.recv(1000)
            except (socket.timeout, ConnectionError):
                pass
            s.close()
        self.assertEqual([], self.server.names())
        wait_until(lambda: self.server.descriptors() <= before + 1, "the connections are closed")
        self.assert_nothing_left()

    def test_refused_requests_leave_nothing(self):
        self.server.start()
        cases = [
            (422, {"image": "mini", "vcpus": 0}, "/vcpus"),
            (422, {"image": "mini", "surprise": 1}, "/surprise"),
            (422, {"image": "mini", "vcpus": "two"}, "/vcpus"),
            (422, {"image": "mini", "memory_mib": 1048576}, "memory_mib"),
            (422, {"image": "mini", "name": "No_Label"}, "/name"),
            (422, {"image": "mini", "name": "x" * 64}, "/name"),
        ]
        for status, body, word in cases:
            with self.subTest(body=body):
                problem = self.server.must(status, "POST", "/vms", body)
                self.assertIn(word, json.dumps(problem))
        problem = self.server.call("POST", "/vms", {"image": "nothing"})
        self.assertIn(problem.status, (404, 422))
        for body in (b"{", b"[]", b"nonsense", b"\xff\xfe", b'{"name": "a", "name": "b"}', b""):
            with self.subTest(body=body):
                reply = self.server.call("POST", "/vms", body, {"Content-Type": "application/json"})
                self.assertIn(reply.status, (400, 422), reply)
        self.assertEqual(413, self.server.call("POST", "/vms", b"[" + b" " * (2 << 20),
                                               {"Content-Type": "application/json"}).status)
        self.server.must(201, "POST", "/vms", {"name": "off", "image": "mini", "start": False})
        problem = self.server.must(409, "POST", "/vms/off/exec", {"argv": ["true"]})
        self.assertIn("created", problem["detail"])
        self.server.must(409, "POST", "/vms", {"name": "off", "image": "mini"})
        self.server.must(409, "POST", "/vms/off/stop")
        self.server.must(404, "POST", "/vms/nobody/start")
        self.server.delete("off")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
