# SPDX-License-Identifier: Apache-2.0
"""Ways to a registry: TLS with certificates of one's own, proxies, and where a registry may send us."""
import contextlib
import http.client
import http.server
import os
import re
import socketserver
import ssl
import subprocess
import threading
import unittest
import urllib.parse

from image_test import ImageTest, busybox
from registry import Registry, gz, sha256


class Proxy:
    """Forwards everything to one registry, whatever host is asked for."""

    def __init__(self, target):
        self.asked = []     # "GET http://…" and "CONNECT host:port"
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                proxy.asked.append(f"GET {self.path}")
                connection = http.client.HTTPConnection(target, timeout=30)
                url = urllib.parse.urlsplit(self.path)
                kept = {k: v for k, v in self.headers.items() if not k.lower().startswith(("proxy-", "host"))}
                connection.request("GET", url.path + ("?" + url.query if url.query else ""), headers=kept)
                reply = connection.getresponse()
                body = reply.read()
                self.send_response(reply.status)
                for name in ("Content-Type", "Location"):
                    if reply.headers[name]:
                        self.send_header(name, reply.headers[name])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                connection.close()

            def do_CONNECT(self):
                proxy.asked.append(f"CONNECT {self.path}")
                host, _, port = target.partition(":")
                with http.server.socket.create_connection((host, int(port)), 30) as far:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=proxy.copy, args=(far, self.connection), daemon=True)
                    back.start()
                    proxy.copy(self.connection, far)
                    back.join(30)

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def copy(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(http.server.socket.SHUT_WR)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Ways(ImageTest):
    NAME = "registry.example.org"
    ALSO = f"DNS:registry.localhost,DNS:{NAME}"
    NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def again(self, settings="", **env):
        """The server with other settings and another environment."""
        self.server.stop()
        os.makedirs(f"{self.home}/config", exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write(f"[images]\n{settings}\n")
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            self.server.env[name] = env.get(name, "")
        self.server.start()

    def secured(self):
        """A registry that speaks TLS, for two names, with a certificate that nobody knows."""
        secure = Registry()
        self.addCleanup(secure.close)
        cert, key = f"{self.home}/cert.pem", f"{self.home}/key.pem"
        openssl("req", "-x509", *self.NEW_KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=test",
                "-addext", f"subjectAltName={self.ALSO}")
        self.listen_securely(secure, cert, key)
        return secure, cert

    def authority(self, name):
        """A certificate that can vouch for others, and its key."""
        cert, key = f"{self.home}/{name}.pem", f"{self.home}/{name}.key"
        openssl("req", "-x509", *self.NEW_KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        return cert, key

    def vouched_for(self, cert, key):
        """The same registry with a certificate that an authority has signed."""
        secure = Registry()
        self.addCleanup(secure.close)
        leaf, request = f"{self.home}/leaf", f"{self.home}/leaf.csr"
        with open(f"{leaf}.ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName={self.ALSO}\nbasicConstraints=critical,CA:FALSE\n")
        openssl("req", *self.NEW_KEY, "-keyout", f"{leaf}.key", "-out", request, "-subj", "/CN=leaf")
        openssl("x509", "-req", "-in", request, "-CA", cert, "-CAkey", key, "-CAcreateserial", "-days", "2", "-extfile",
                f"{leaf}.ext", "-out", f"{leaf}.pem")
        self.listen_securely(secure, f"{leaf}.pem", f"{leaf}.key")
        return secure

    @staticmethod
    def listen_securely(secure, cert, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        secure.server.socket = context.wrap_socket(secure.server.socket, server_side=True)
        secure.image("t/tls", "1", [gz(busybox())])

    def ask(self, reference, status=201):
        reply = self.server.call("POST", "/images", {"pull": reference}, {"Prefer": "wait=120"})
        self.assertEqual(status, reply.status, reply)
        return reply.json()

    def test_certificates_of_ones_own(self):
        secure, cert = self.secured()
        there = f"registry.localhost:{secure.host.split(':')[1]}/t/tls:1"
        self.assertIn("self-signed certificate", self.ask(there, 502)["detail"])
        self.assertEqual([], secure.log, "nothing was asked of a host that nobody vouches for")
        self.again(f"ca_file = {self.home}/nothing.pem")
        self.assertIn("nothing.pem", self.ask(there, 502)["detail"])
        self.again(f"ca_file = {cert}")
        self.ask(there)
        wrong = there.replace("registry.", "other.")
        self.assertIn("no alternative certificate subject name", self.ask(wrong, 502)["detail"])

    def test_an_authority_of_ones_own(self):
        ours, other = self.authority("ours"), self.authority("other")
        secure = self.vouched_for(*ours)
        there = f"registry.localhost:{secure.host.split(':')[1]}/t/tls:1"
        for settings in ("", f"ca_file = {other[0]}"):
            self.again(settings)
            refused = self.ask(there, 502)
            self.assertIn("manifest: ", refused["detail"])
            self.assertIn("unable to get local issuer certificate", refused["detail"])
            self.assertIn("images.ca_file", refused["remedy"])
            self.assertNotIn("tries", refused["detail"], "asking again would help nobody")
        self.assertEqual([], secure.log, "nothing was asked of a host that nobody vouches for")
        with open(f"{self.home}/both.pem", "wb") as f:
            for one in (other, ours):
                with open(one[0], "rb") as cert:
                    f.write(cert.read())
        self.again(f"ca_file = {self.home}/both.pem")
        self.ask(there)
        self.assertEqual(3, len(secure.log), secure.log)

    def test_a_registry_that_does_not_speak_tls(self):
        self.registry.image("t/plain", "1", [gz(busybox())])
        self.again()
        refused = self.ask(f"registry.localhost:{self.registry.host.split(':')[1]}/t/plain:1", 502)
        self.assertIn("images.insecure_registries", refused["remedy"], refused)

    def test_a_host_that_is_not_there(self):
        self.again()
        detail = self.ask("nothing.invalid/t/a:1", 502)["detail"]
        self.assertIn("Could not resolve host: nothing.invalid", detail)
        self.assertIn("gave up after 5 tries", detail)

    def test_a_proxy_of_plain_http(self):
        self.registry.image("t/a", "1", [gz(busybox())])
        proxy = Proxy(self.registry.host)
        self.addCleanup(proxy.close)
        self.again(f"insecure_registries = {self.NAME}", http_proxy=proxy.url)
        self.ask(f"{self.NAME}/t/a:1")
        self.assertEqual(3, len(proxy.asked), proxy.asked)
        for asked in proxy.asked:
            self.assertTrue(asked.startswith(f"GET http://{self.NAME}/v2/"), asked)
        del proxy.asked[:]
        self.ask(self.reference("t/a:1"))
        self.assertEqual([], proxy.asked, "loopback is asked without a proxy")
        self.again(f"insecure_registries = {self.NAME}", http_proxy=proxy.url, no_proxy=".example.org")
        self.ask(f"{self.NAME}/t/a:2", 502)
        self.assertEqual([], proxy.asked)

    def test_a_proxy_of_tls(self):
        secure, cert = self.secured()
        proxy = Proxy(secure.host)
        self.addCleanup(proxy.close)
        self.again(f"ca_file = {cert}", HTTPS_PROXY=proxy.url)
        self.ask(f"{self.NAME}/t/tls:1")
        self.assertEqual({f"CONNECT {self.NAME}:443"}, set(proxy.asked))
        digest = secure.blob(b"no kernel" * 100)
        reply = self.server.call("POST", "/kernels", {
            "name": "k", "url": f"https://{self.NAME}/v2/k/blobs/{digest}", "sha256": digest[7:]}, {"Prefer": "wait=60"})
        self.assertIn("neither a bzImage", reply.json()["detail"], "it came, by a proxy with a private address")

    def test_where_a_registry_may_send_us(self):
        data = gz(busybox())
        self.registry.image("t/away", "1", [data])
        proxy = Proxy(self.registry.host)
        self.addCleanup(proxy.close)

        def refused(reference, *targets):
            for target in targets:
                with self.subTest(target):
                    self.registry.answers.clear()
                    self.registry.times(1, sha256(data), lambda h, t=target: self.registry.reply(h, 307, Location=t))
                    detail = self.ask(reference, 502)["detail"]
                    self.assertIn("layer 1 of 1", detail)
                    self.assertRegex(detail, "sends us to a private address")
        refused(self.reference("t/away:1"), "http://169.254.169.254/latest", "http://[fe80::1]/x",
                "http://[::ffff:169.254.169.254]/x")
        self.again(f"insecure_registries = {self.NAME}", http_proxy=proxy.url)
        refused(f"{self.NAME}/t/away:1", "http://10.0.0.1/x", "http://127.0.0.1:1/x", "http://localhost:1/x",
                "http://[fd00::1]/x", "http://2130706433:1/x", "http://169.254.169.254/x")
        self.assertFalse([asked for asked in proxy.asked if not re.match(f"GET http://{self.NAME}/", asked)], proxy.asked)
        self.assert_no_staging()


if __name__ == "__main__":
    unittest.main(verbosity=2)
