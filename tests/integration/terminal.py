# SPDX-License-Identifier: Apache-2.0
"""Terminals on WebSockets: a shell, its size, a broken connection, several at once; and the serial console."""
import unittest

from harness import LifeTest, wait_until
from websocket import Refused, WebSocket


class Terminal(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")

    def open(self, query="", vm="a"):
        ws = WebSocket(self.server.socket, f"/vms/{vm}/terminal{query}")
        self.addCleanup(ws.drop)
        return ws

    def execs(self):
        return self.server.must(200, "GET", "/vms/a/execs")["items"]

    def test_a_shell_with_a_size(self):
        ws = self.open("?rows=31&cols=97")
        session = ws.until_message("session")
        self.assertEqual(0, session["offset"])
        ws.send("stty size; echo $((6*7))-end\n")
        self.assertIn(b"31 97", ws.until(b"42-end"))
        ws.say({"type": "resize", "rows": 50, "cols": 120})
        ws.send("stty size; echo $((7*7))-end\n")
        self.assertIn(b"50 120", ws.until(b"49-end"))
        ws.send("printf '\\303\\244\\342\\202\\254-%s\\n' utf\n")
        self.assertIn("ä€-utf", ws.until("ä€-utf".encode()).decode())
        ws.say({"type": "input", "data": "exit 4\n"})
        self.assertEqual(4, ws.until_message("exit")["exit_code"])
        self.assertEqual(1000, ws.until_closed())

    def test_a_broken_connection_is_taken_up_again(self):
        ws = self.open()
        session = ws.until_message("session")
        ws.send("x=kept; echo $((2*3))-first\n")
        seen = ws.until(b"6-first")
        ws.drop()
        again = self.open(f"?session={session['id']}&from={session['offset'] + len(seen)}")
        self.assertEqual(len(seen), again.until_message("session")["offset"])
        again.send("echo $x-$((5*5))\n")
        self.assertIn(b"kept-25", again.until(b"kept-25"))
        self.assertNotIn(b"6-first", again.output)
        # Another one beside it sees the same, from the start.
        other = self.open(f"?session={session['id']}")
        self.assertIn(b"6-first", other.until(b"kept-25"))
        other.say({"type": "close"})
        self.assertEqual(1000, other.until_closed())
        again.until_closed()
        wait_until(lambda: not self.execs(), "the session is forgotten")

    def test_a_session_survives_the_server(self):
        ws = self.open()
        session = ws.until_message("session")["id"]
        ws.send("y=still; echo $((3*3))-on\n")
        ws.until(b"9-on")
        self.server.kill()
        self.server.start()
        again = self.open(f"?session={session}")
        again.send("echo $y-$((8*8))\n")
        again.until(b"still-64")

    def test_an_exec_with_a_terminal(self):
        record = self.server.must(201, "POST", "/vms/a/execs", {"argv": ["sh", "-c", "tty; read x; echo got-$x"],
                                                               "tty": True, "rows": 10, "cols": 20})
        ws = self.open(f"?session={record['id']}")
        ws.until(b"/dev/pts/")
        self.server.must(204, "POST", f"/vms/a/execs/{record['id']}/resize", {"rows": 5, "cols": 6})
        ws.send("word\r")
        ws.until(b"got-word")
        self.assertEqual(0, ws.until_message("exit")["exit_code"])
        plain = self.server.must(201, "POST", "/vms/a/execs", {"argv": ["sleep", "1000"]})
        with self.assertRaises(Refused) as caught:
            self.open(f"?session={plain['id']}")
        self.assertEqual(409, caught.exception.status)

    def test_much_input_and_output(self):
        ws = self.open()
        ws.until_message("session")
        ws.send("stty raw -echo; echo ready-$((1+1)); head -c 300000 | wc -c; echo $((4*4))-done\n")
        ws.until(b"ready-2")
        data = b"a" * 300000
        for i in range(0, len(data), 50000):
            ws.send(data[i:i + 50000])
        self.assertIn(b"300000", ws.until(b"16-done"))
        ws.send("head -c 3000000 /dev/zero | tr '\\0' z; echo $((9*9))-done\n")
        self.assertGreater(ws.until(b"81-done").count(b"z"), 2999999)

    def test_the_end_of_the_vm_ends_it(self):
        ws = self.open()
        ws.until_message("session")
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.assertIn("ended", ws.until_message("error")["problem"]["detail"])
        self.assertEqual(1011, ws.until_closed())

    def test_what_is_refused(self):
        for target, status in (("/vms/nobody/terminal", 404), ("/vms/a/terminal?rows=0", 422),
                               ("/vms/a/terminal?session=0000000000000000", 404)):
            with self.assertRaises(Refused) as caught:
                WebSocket(self.server.socket, target)
            self.assertEqual(status, caught.exception.status, target)
        self.server.must(400, "GET", "/vms/a/terminal")
        ws = self.open()
        ws.until_message("session")
        ws.say({"type": "nonsense"})
        self.assertEqual(1007, ws.until_closed())

    def test_the_console(self):
        console = WebSocket(self.server.socket, "/vms/a/console")
        self.addCleanup(console.drop)
        self.server.run("a", "sh", "-c", "echo from-$((11*11)) > /dev/console")
        console.until(b"from-121")
        self.server.must(400, "GET", "/vms/a/console")
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.assertEqual(1000, console.until_closed())
        self.server.must(409, "GET", "/vms/a/console", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})


if __name__ == "__main__":
    unittest.main(verbosity=2)
