# SPDX-License-Identifier: Apache-2.0
"""HTTP servers in a guest, through the API: what is handed on and what is not, upgrades, and the origin of their own that
browsers are shown them on."""
import concurrent.futures
import hashlib
import http.client
import os
import re
import socket
import struct
import urllib.parse

import unittest

from harness import LifeTest, UnixConnection, wait_until
from websocket import CLOSE, Refused, WebSocket

# Says what it was asked, and all that a reply may carry which is not for others.
ECHO = r"""
n=0; chunked=
while IFS= read -r line; do
	line=${line%%"$(printf '\r')"}
	[ -n "$line" ] || break
	lines="$lines$line
"
	case $line in [Cc]ontent-[Ll]ength:*) n=${line#*: } ;; [Tt]ransfer-[Ee]ncoding:*) chunked=1 ;; esac
done
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: own=1\r\nSet-Cookie: wide=1; Domain=localhost\r\n'
printf 'Connection: close, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nAccess-Control-Allow-Origin: *\r\nKeep-Alive: 5\r\n\r\n%s\n' "$lines"
[ "$n" = 0 ] || head -c "$n" | sha256sum
"""

# Agrees to any upgrade, then gives back what it gets.
UPGRADE = r"""
while IFS= read -r line; do [ "${#line}" -gt 1 ] || break; done
printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst'
exec cat
"""

# A WebSocket server (RFC 6455) that gives back each message, a close included.
WEBSOCKET = r"""
while IFS= read -r line; do
	line=${line%%"$(printf '\r')"}
	[ -n "$line" ] || break
	case $line in [Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey:*) key=${line#*: } ;; esac
done
sum=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | sha1sum | cut -c1-40 | sed 's/../\\x&/g')
printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n' \
	"$(printf "$sum" | base64)"
bytes() { dd bs=1 count="$1" 2>/dev/null | od -An -v -tu1; }
byte() { printf "\\$(printf %03o "$1")"; }
while set -- $(bytes 2); [ $# = 2 ]; do
	first=$1 length=$(($2 & 127))
	if [ $length = 126 ]; then set -- $(bytes 2); length=$(($1 * 256 + $2)); fi
	set -- $(bytes 4)
	i=0 out=
	for b in $(bytes $length); do
		eval "m=\$$(((i & 3) + 1))"
		out="$out$(printf '\\%03o' $((b ^ m)))" i=$((i + 1))
	done
	byte $first
	if [ $length -lt 126 ]; then byte $length; else byte 126; byte $((length >> 8)); byte $((length & 255)); fi
	printf "$out"
	[ $((first & 15)) != 8 ] || exit
done
"""

# A WebSocket server that shows a large message, takes another, says its digest, and closes.
LARGE = r"""
while IFS= read -r line; do [ "${#line}" -gt 1 ] || break; done
printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'
cat /root/frame
sum=$(head -c "$(cat /root/taken)" | sha256sum)
printf '\202\100%.64s' "$sum"
cat /root/close
"""

# A reply that breaks off, one that is no HTTP, one that comes before the request's end.
CUT = r"printf 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'"
NOISE = "echo SSH-2.0-nonsense; echo"
EARLY = r"printf 'HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nLocation: http://localhost:7004/x\r\n\r\nno\n'; exec cat >/dev/null"


class Proxy(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.args = ["--listen", "127.0.0.1:0"]
        self.server.start()
        self.server.create("a")

    def listen(self, port, script):
        path = f"/root/serve-{port}"
        self.server.must(204, "PUT", f"/vms/a/files{path}", script.encode(), headers={"Content-Type": "application/octet-stream"})
        self.serve(port, ["nc", "-ll", "-p", str(port), "-e", "sh", path])

    def serve(self, port, argv):
        self.server.must(201, "POST", "/vms/a/execs", {"argv": argv})
        wait_until(lambda: port in [p["port"] for p in self.server.must(200, "GET", "/vms/a/ports")["items"]], f"port {port} listens")

    def ask(self, method, port, rest="/", body=None, headers=None):
        return self.server.raw(method, f"/vms/a/proxy/{port}{rest}", body, headers)

    # --- by the API ---

    def test_a_server_on_the_guest_s_own_loopback(self):
        data = os.urandom(1 << 20)
        self.server.must(204, "PUT", "/vms/a/files/root/www/data.bin?parents=true", data, headers={"Content-Type": "application/octet-stream"})
        self.server.run("a", "sh", "-c", "echo preview > /root/www/index.html")
        self.serve(3000, ["httpd", "-f", "-p", "127.0.0.1:3000", "-h", "/root/www"])
        for rest in ("/", "", "/index.html", "/?q=%2F&q=1", "/?q=%FF%0A"):
            reply = self.ask("GET", 3000, rest)
            self.assertEqual((200, b"preview\n"), (reply.status, reply.body), rest)
        self.assertRegex(reply.headers["Content-Security-Policy"], "^sandbox;")
        self.assertEqual(data, self.ask("GET", 3000, "/data.bin").body)
        reply = self.ask("GET", 3000, "/data.bin", headers={"Range": "bytes=10-19"})
        self.assertEqual((206, data[10:20]), (reply.status, reply.body))
        reply = self.ask("HEAD", 3000, "/data.bin")
        self.assertEqual((200, str(len(data)), b""), (reply.status, reply.headers["Content-Length"], reply.body))
        self.assertEqual(404, self.ask("GET", 3000, "/none").status)
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        self.assertEqual("suspended", self.server.state("a"))
        self.assertEqual(b"preview\n", self.ask("GET", 3000).body)
        self.assertEqual("running", self.server.state("a"))

    def test_what_is_handed_on_and_what_is_not(self):
        self.listen(7001, ECHO)
        reply = self.ask("GET", 7001, "/a%20b?x=1&x=2", headers={
            "Cookie": "banger_session_8420=secret; theirs=1", "Authorization": "Bearer secret", "X-Mine": "1", "TE": "trailers",
            "X-Hop": "2", "Connection": "X-Hop", "Proxy-Authorization": "Basic x", "X-Forwarded-For": "1.2.3.4"})
        lines = reply.body.decode().splitlines()
        self.assertEqual("GET /a%20b?x=1&x=2 HTTP/1.1", lines[0])
        asked = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.assertEqual(("localhost:7001", "theirs=1", "1", "close"), tuple(asked[k] for k in ("host", "cookie", "x-mine", "connection")))
        for gone in ("authorization", "te", "x-hop", "proxy-authorization", "x-forwarded-for"):
            self.assertNotIn(gone, asked)
        self.assertNotIn("secret", reply.body.decode())
        self.assertEqual("2", reply.headers["X-End"])
        for gone in ("Set-Cookie", "X-Hop", "Keep-Alive", "Access-Control-Allow-Origin"):
            self.assertIsNone(reply.headers[gone], gone)
        data = os.urandom(2 << 20)
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            reply = self.ask(method, 7001, "/", data if method != "OPTIONS" else b"", {"Content-Encoding": "gzip"})
            self.assertIn(f"{method} / HTTP/1.1".encode(), reply.body)
            if method != "OPTIONS":
                self.assertIn(hashlib.sha256(data).hexdigest(), reply.body.decode())
        connection = UnixConnection(self.server.socket, 60)
        connection.request("POST", "/vms/a/proxy/7001/", iter([b"abc", b"d" * 100000]), encode_chunked=True)
        self.assertIn(b"Transfer-Encoding: chunked", connection.getresponse().read())
        connection.close()

    def test_upgrades_pass(self):
        self.listen(7002, UPGRADE)
        ws = WebSocket(self.server.socket, "/vms/a/proxy/7002/socket")
        self.addCleanup(ws.drop)
        self.assertEqual(b"first", ws.take(5))
        data = os.urandom(300000)
        got = b""
        for start in range(0, len(data), 50000):
            ws.sock.sendall(data[start:start + 50000])
            got += ws.take(50000)
        self.assertEqual(data, got)
        ws.sock.shutdown(socket.SHUT_WR)
        with self.assertRaises(EOFError):
            ws.more()

    def talk(self, ws):
        """As a page with a WebSocket does."""
        self.addCleanup(ws.drop)
        self.assertTrue(ws.answered)
        ws.send("hello")
        self.assertEqual(b"hello", ws.until("hello"))
        data = os.urandom(300)
        ws.send(data)
        ws.until(data)
        ws.say({"type": "said"})
        self.assertEqual({"type": "said"}, ws.until_message("said"))
        ws.send(b"\x03\xe8", CLOSE)
        self.assertEqual(1000, ws.until_closed())
        with self.assertRaises(EOFError):
            ws.more()

    def test_a_websocket_of_a_guest_without_a_network(self):
        self.listen(7010, WEBSOCKET)
        self.talk(WebSocket(self.server.socket, "/vms/a/proxy/7010/socket"))
        cookie = self.log_in()
        token = self.server.must(201, "POST", "/tokens", {"name": "looker", "scope": "admin"})["token"]
        self.talk(WebSocket(self.port, "/vms/a/proxy/7010/socket", headers={"Authorization": f"Bearer {token}"}))
        with self.assertRaises(Refused) as refused:
            WebSocket(self.port, "/vms/a/proxy/7010/socket")
        self.assertEqual(401, refused.exception.status)
        # In a browser: on the origin that the page is shown on, and from no page of another.
        moved = self.tcp("GET", self.own, "/vms/a/proxy/7010/page", cookie)
        own = urllib.parse.urlsplit(moved.headers["Location"]).netloc
        self.talk(WebSocket(self.port, "/socket", headers={"Host": own, "Origin": f"http://{own}", **cookie}))
        with self.assertRaises(Refused) as refused:
            WebSocket(self.port, "/socket", headers={"Host": own, "Origin": "http://elsewhere.example", **cookie})
        self.assertEqual(403, refused.exception.status)

    def put(self, path, data):
        self.server.must(204, "PUT", f"/vms/a/files/{path}", data, headers={"Content-Type": "application/octet-stream"})

    def talk_much(self, ws, shown, sent, code):
        ws.receive()
        self.assertEqual(hashlib.sha256(shown).digest(), hashlib.sha256(ws.output).digest())
        ws.output = b""
        ws.sock.sendall(sent)
        self.assertEqual(hashlib.sha256(sent).hexdigest().encode(), ws.until(hashlib.sha256(sent).hexdigest()))
        self.assertEqual(code, ws.until_closed())
        with self.assertRaises(EOFError):
            ws.more()

    def test_large_messages_close_codes_and_several_at_once(self):
        shown, sent = os.urandom(5 << 20), os.urandom(3 << 20)
        self.put("root/frame", b"\x82\x7f" + struct.pack(">Q", len(shown)) + shown)
        self.put("root/taken", str(len(sent)).encode())
        self.listen(7011, LARGE)
        for code in (1001, 1011, 4999):
            reason = "why \u00fc".encode()
            self.put("root/close", bytes([0x88, 2 + len(reason)]) + struct.pack(">H", code) + reason)
            several = [WebSocket(self.server.socket, "/vms/a/proxy/7011/") for _ in range(1 if code < 4999 else 4)]
            for ws in several:
                self.addCleanup(ws.drop)
            with concurrent.futures.ThreadPoolExecutor(len(several)) as pool:
                for done in [pool.submit(self.talk_much, ws, shown, sent, code) for ws in several]:
                    done.result()

    def serving(self, port):
        """Whether a client of the port is served now."""
        lines = self.server.run("a", "sh", "-c", "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$p; echo; done 2>/dev/null || true")
        return any(line.startswith(f"sh /root/serve-{port}") for line in lines.splitlines())

    def test_the_server_is_restarted_while_a_websocket_is_open(self):
        self.listen(7012, WEBSOCKET)
        for end in (self.server.stop, self.server.kill):
            ws = WebSocket(self.server.socket, "/vms/a/proxy/7012/")
            self.addCleanup(ws.drop)
            ws.send("before")
            ws.until("before")
            self.assertTrue(self.serving(7012))
            end()
            # The bytes are between page and guest, so there is no close frame: browsers call it 1006.
            with self.assertRaises((EOFError, ConnectionResetError)):
                ws.more()
            self.assertEqual((None, b""), (ws.closed, ws.data))
            self.server.start()
            # The guest's end is told too, and its server serves the next.
            wait_until(lambda: not self.serving(7012), "the guest's end has gone")
            self.talk(WebSocket(self.server.socket, "/vms/a/proxy/7012/"))

    def test_what_goes_wrong_is_said(self):
        refused = self.server.call("GET", "/vms/a/proxy/9/")
        self.assertEqual(502, refused.status)
        self.assertIn("nothing listens on port 9 of VM 'a'", refused.json()["detail"])
        self.assertEqual(502, self.server.call("POST", "/vms/a/proxy/9/", b"x" * 300000).status)
        self.listen(7003, NOISE)
        self.assertIn("does not speak HTTP", self.server.call("GET", "/vms/a/proxy/7003/").json()["detail"])
        self.listen(7004, EARLY)
        for size in (0, 10, 3 << 20):
            reply = self.ask("POST", 7004, "/", b"x" * size)
            self.assertEqual((413, b"no\n"), (reply.status, reply.body))
        self.assertRegex(reply.headers["Location"], "^/vms/[0-9a-z-]+/proxy/7004/x$")
        self.listen(7005, CUT)
        with self.assertRaises(http.client.IncompleteRead):
            self.ask("GET", 7005)
        self.listen(7006, "sleep 1000")
        connection = UnixConnection(self.server.socket, 60)
        connection.request("GET", "/vms/a/proxy/7006/")
        connection.close()
        self.assertEqual(404, self.server.call("GET", "/vms/none/proxy/80/").status)
        self.assertEqual(422, self.server.call("GET", "/vms/a/proxy/0/").status)
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.assertEqual(409, self.server.call("GET", "/vms/a/proxy/80/").status)

    # --- by a browser ---

    def tcp(self, method, host, target, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, target, headers={"Host": host, **(headers or {})})
        reply = connection.getresponse()
        reply.text = reply.read().decode()
        connection.close()
        return reply

    def log_in(self):
        link = urllib.parse.urlsplit(self.server.must(201, "POST", "/logins")["url"])
        self.port = link.port
        self.own = f"127.0.0.1:{link.port}"
        reply = self.tcp("GET", self.own, f"{link.path}?{link.query}")
        return {"Cookie": reply.headers["Set-Cookie"].split(";")[0]}

    def test_a_browser_is_shown_another_origin(self):
        self.listen(7001, ECHO)
        cookie = self.log_in()
        self.assertEqual(401, self.tcp("GET", self.own, "/vms/a/proxy/7001/").status)
        moved = self.tcp("GET", self.own, "/vms/a/proxy/7001/page?q=1", cookie)
        self.assertEqual(303, moved.status)
        where = urllib.parse.urlsplit(moved.headers["Location"])
        self.assertRegex(where.netloc, rf"^p[0-9a-f]{{40}}\.localhost:{self.port}$")
        self.assertEqual("/page?q=1", f"{where.path}?{where.query}")
        self.assertEqual(moved.headers["Location"], self.tcp("GET", self.own, "/vms/a/proxy/7001/page?q=1", cookie).headers["Location"])
        # There it is a page as any other, but for what would reach beyond.
        shown = self.tcp("GET", where.netloc, "/page?q=1", {"Authorization": "Basic theirs", "Origin": f"http://{where.netloc}", **cookie})
        self.assertEqual(200, shown.status, shown.text)
        self.assertTrue(shown.text.startswith("GET /page?q=1 HTTP/1.1"), shown.text)
        self.assertIn("Origin: http://localhost:7001", shown.text)
        self.assertIn("Authorization: Basic theirs", shown.text)
        self.assertNotIn("banger_session", shown.text)
        self.assertEqual(["own=1"], shown.headers.get_all("Set-Cookie"))
        self.assertIsNone(shown.headers["Content-Security-Policy"])
        # No path there leads to the API, nor does the page's origin open it.
        for target in ("/vms", "/tokens", "/", "/openapi.json", "/login", "/vms/a/exec"):
            self.assertTrue(self.tcp("GET", where.netloc, target).text.startswith(f"GET {target} HTTP/1.1"))
        self.assertEqual(400, self.tcp("GET", where.netloc, "/../../../vms").status)
        self.assertEqual(403, self.tcp("GET", self.own, "/vms", {"Origin": f"http://{where.netloc}", **cookie}).status)
        self.assertEqual(403, self.tcp("POST", self.own, "/vms/a/stop", {"Origin": f"http://{where.netloc}", **cookie}).status)
        self.assertEqual(403, self.tcp("GET", where.netloc, "/", {"Origin": f"http://{self.own}"}).status)
        # What is not a visit has to come with a token; what was never made is not there.
        self.assertEqual(403, self.tcp("POST", self.own, "/vms/a/proxy/7001/", {"Origin": f"http://{self.own}", **cookie}).status)
        other = re.sub("^p.", "p" + ("0" if where.netloc[1] != "0" else "1"), where.netloc)
        self.assertEqual(404, self.tcp("GET", other, "/").status)
        # It ends with the session.
        self.assertEqual(204, self.tcp("DELETE", self.own, "/session", {"Origin": f"http://{self.own}", **cookie}).status)
        self.assertEqual(404, self.tcp("GET", where.netloc, "/").status)


if __name__ == "__main__":
    unittest.main(verbosity=2)
