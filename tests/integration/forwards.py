# SPDX-License-Identifier: Apache-2.0
"""Ports of a guest from the host: what listens, forwards that come and go, tunnels, servers on the guest's loopback."""
import hashlib
import os
import socket
import subprocess
import threading
import unittest
import urllib.request

from harness import LifeTest, wait_until

CLI = os.environ["BANGER_CLI"]


class Forwards(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")

    def listen(self, port, command):
        """A server in the guest, one process a connection."""
        self.server.must(201, "POST", "/vms/a/execs",
                         {"argv": ["nc", "-ll", "-p", str(port), "-e", "sh", "-c", command]})
        wait_until(lambda: port in [p["port"] for p in self.ports()], f"port {port} listens")

    def ports(self):
        return self.server.must(200, "GET", "/vms/a/ports")["items"]

    def forward(self, guest_port, **fields):
        return self.server.must(201, "POST", "/vms/a/forwards", {"guest_port": guest_port, **fields})

    def connect(self, port):
        sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.addCleanup(sock.close)
        return sock

    def talk(self, port, data):
        """Sends all, says so, and reads to the end."""
        sock = self.connect(port)

        def send():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        while True:
            more = sock.recv(65536)
            if not more:
                break
            got += more
        sender.join()
        return got

    def test_what_listens(self):
        self.assertEqual([], self.ports())
        self.listen(8080, "echo hello")
        port = self.ports()[0]
        self.assertEqual(("tcp", 8080), (port["protocol"], port["port"]))
        self.assertIn(port["process"], ("nc", "busybox"))
        self.assertGreater(port["pid"], 0)

    def test_a_server_on_the_guest_s_own_loopback(self):
        self.server.run("a", "sh", "-c", "mkdir /root/www && echo preview > /root/www/index.html")
        self.server.must(201, "POST", "/vms/a/execs", {"argv": ["httpd", "-f", "-p", "127.0.0.1:3000", "-h", "/root/www"]})
        wait_until(lambda: [p for p in self.ports() if (p["address"], p["port"]) == ("127.0.0.1", 3000)], "it listens")
        address = f"http://127.0.0.1:{self.forward(3000)['host_port']}/"
        with urllib.request.urlopen(address, timeout=60) as reply:
            self.assertEqual(b"preview\n", reply.read())

    def test_a_forward_comes_and_goes(self):
        self.listen(8080, "echo hello")
        forward = self.forward(8080)
        self.assertTrue(forward["listening"])
        self.assertEqual(b"hello\n", self.talk(forward["host_port"], b""))
        self.server.must(409, "POST", "/vms/a/forwards", {"guest_port": 80, "host_port": forward["host_port"]})
        self.server.must(204, "DELETE", f"/vms/a/forwards/{forward['id']}")
        with self.assertRaises(ConnectionRefusedError):
            self.connect(forward["host_port"])
        self.assertEqual([], self.server.must(200, "GET", "/vms/a/forwards")["items"])

    def test_much_in_both_directions_at_once(self):
        self.listen(7, "exec cat")
        port = self.forward(7)["host_port"]
        data = os.urandom(3 << 20)
        self.assertEqual(hashlib.sha256(data).digest(), hashlib.sha256(self.talk(port, data)).digest())

    def test_many_at_once_and_one_that_does_not_read(self):
        self.listen(8080, "head -c 3000000 /dev/zero; echo end")
        port = self.forward(8080)["host_port"]
        lazy = self.connect(port)
        results = []
        threads = [threading.Thread(target=lambda: results.append(len(self.talk(port, b"")))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([3000004] * 8, results)
        lazy.close()
        wait_until(lambda: self.server.must(200, "GET", "/vms/a/forwards")["items"][0]["connections"] == 0,
                   "its connections are gone")

    def test_it_is_kept_over_restarts(self):
        self.listen(8080, "echo hello")
        forward = self.forward(8080)
        self.server.kill()
        self.server.start()
        self.assertEqual(b"hello\n", self.talk(forward["host_port"], b""))
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.assertFalse(self.server.must(200, "GET", "/vms/a/forwards")["items"][0]["listening"])
        with self.assertRaises(ConnectionRefusedError):
            self.connect(forward["host_port"])
        self.server.must(409, "GET", "/vms/a/ports")
        self.server.must(200, "POST", "/vms/a/start", wait=120)
        self.listen(8080, "echo again")
        self.assertEqual(b"again\n", self.talk(forward["host_port"], b""))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_nobody_listens(self):
        port = self.forward(9)["host_port"]
        # At any moment, that of the connection too.
        with self.assertRaises(ConnectionResetError):
            sock = self.connect(port)
            sock.sendall(b"x")
            while sock.recv(100):
                pass

    def test_the_end_of_the_vm_cuts_connections(self):
        self.listen(8080, "echo hello; sleep 1000")
        sock = self.connect(self.forward(8080)["host_port"])
        self.assertEqual(b"hello\n", sock.recv(100))
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        with self.assertRaises(ConnectionResetError):
            while sock.recv(100):
                pass

    def test_the_command_line(self):
        env = {**os.environ, "BANGER_SERVER": self.server.socket}

        def run(*args, text=None):
            return subprocess.run([CLI, *args], env=env, check=True, capture_output=True, timeout=60, input=text).stdout

        self.listen(8080, "exec cat")
        address = run("vm", "forward", "a", "8080").decode().strip()
        self.assertIn(address, run("vm", "forward", "a").decode())
        self.assertEqual(b"through", self.talk(int(address.split(":")[1]), b"through"))
        run("vm", "unforward", "a", address.split(":")[1])
        self.assertNotIn(address, run("vm", "forward", "a").decode())
        self.assertIn("8080", run("vm", "ports", "a").decode())
        data = os.urandom(2 << 20)
        self.assertEqual(data, run("vm", "tunnel", "a", "8080", text=data))
        refused = subprocess.run([CLI, "vm", "tunnel", "a", "9"], env=env, capture_output=True, timeout=60, check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn(b"refused", refused.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
