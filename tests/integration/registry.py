# SPDX-License-Identifier: Apache-2.0
"""A registry on loopback with images that are made on the spot, and with every bad habit that a registry can
have. One thread a connection; what a test wants of it is set on the object."""
import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import re
import socketserver
import tarfile
import threading
import urllib.parse

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def member(name, data=b"", **fields):
    """A member of a layer: (TarInfo, content)."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    info.mtime = 1700000000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def folder(name, **fields):
    return member(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def hardlink(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def layer(*members):
    """An uncompressed tar of them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def gz(data):
    return gzip.compress(data, 6, mtime=0)


class Registry:
    def __init__(self, users=None):
        self.blobs, self.manifests = {}, {}
        self.users = users or {}    # name: password; empty: nobody is asked
        self.tokens = {}            # token: requests that it is still good for
        self.token_uses = 10 ** 9   # of a token that is made now
        self.log = []               # (method, path, headers)
        self.answers = []           # functions(handler) -> bool: True when the request was answered
        self.lock = threading.Lock()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    registry.serve(self)

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # --- content ---

    def blob(self, data):
        self.blobs[sha256(data)] = data
        return sha256(data)

    def manifest(self, repo, tag, document, media_type):
        data = json.dumps(document).encode()
        for name in (tag, sha256(data)):
            if name:
                self.manifests[repo, name] = (media_type, data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    def image(self, repo, tag, layers, config=None, arch="amd64", kind=OCI, change=None):
        """`layers` are tars, as they are or compressed: bytes, or (bytes, media type). Returns the descriptor."""
        described = []
        for one in layers:
            data, media = one if isinstance(one, tuple) else (one, None)
            if not media:
                suffix = "+gzip" if data[:2] == b"\x1f\x8b" else "+zstd" if data[:2] == b"\x28\xb5" else ""
                media = f"{OCI}.layer.v1.tar{suffix}" if kind == OCI else f"{DOCKER}.image.rootfs.diff.tar.gzip"
            described.append({"mediaType": media, "digest": self.blob(data), "size": len(data)})
        text = json.dumps({"architecture": arch, "os": "linux", "created": "2023-11-15T00:00:00Z",
                           "config": config or {},
                           "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * len(layers)}}).encode()
        oci = kind == OCI
        document = {"schemaVersion": 2,
                    "mediaType": f"{OCI}.manifest.v1+json" if oci else f"{DOCKER}.distribution.manifest.v2+json",
                    "config": {"mediaType": f"{OCI}.config.v1+json" if oci else f"{DOCKER}.container.image.v1+json",
                               "digest": self.blob(text), "size": len(text)},
                    "layers": described}
        if change:
            change(document)
        return self.manifest(repo, tag, document, document["mediaType"])

    def index(self, repo, tag, entries):
        """`entries`: {architecture: descriptor}."""
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json",
                    "manifests": [{**d, "platform": {"os": "linux", "architecture": arch}}
                                  for arch, d in entries.items()]}
        return self.manifest(repo, tag, document, document["mediaType"])

    # --- requests ---

    def requests(self, pattern):
        with self.lock:
            return [entry for entry in self.log if re.search(pattern, entry[1])]

    def reply(self, handler, status, body=b"", media="application/json", **headers):
        handler.send_response(status)
        handler.send_header("Content-Type", media)
        handler.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    def serve(self, handler):
        path = urllib.parse.urlsplit(handler.path).path
        with self.lock:
            self.log.append((handler.command, handler.path, dict(handler.headers)))
        for answer in list(self.answers):
            if answer(handler):
                return
        if path == "/token":
            self.serve_token(handler)
        elif self.users and not self.allowed(handler):
            realm = f'Bearer realm="http://{self.host}/token",service="test",scope="repository:x:pull"'
            self.reply(handler, 401, b"{}", WWW_Authenticate=realm)
        else:
            self.serve_content(handler, path)

    def allowed(self, handler):
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            if self.tokens.get(token, 0) <= 0:
                return False
            self.tokens[token] -= 1
            return True

    def serve_token(self, handler):
        kind, _, value = handler.headers.get("Authorization", "").partition(" ")
        pair = base64.b64decode(value).decode().partition(":") if kind == "Basic" else ("", "", "")
        if self.users.get(pair[0]) != pair[2] or not pair[0]:
            self.reply(handler, 401, b"{}")
            return
        with self.lock:
            token = f"token-{len(self.tokens)}"
            self.tokens[token] = self.token_uses
        self.reply(handler, 200, json.dumps({"token": token}).encode())

    def serve_content(self, handler, path):
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if found and found[2] == "manifests" and (found[1], found[3]) in self.manifests:
            media, data = self.manifests[found[1], found[3]]
            self.reply(handler, 200, data, media)
        elif found and found[2] == "blobs" and found[3] in self.blobs:
            self.serve_blob(handler, self.blobs[found[3]])
        else:
            self.reply(handler, 404, b"{}")

    def serve_blob(self, handler, data):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if wanted and int(wanted[1]) < len(data):
            first = int(wanted[1])
            self.reply(handler, 206, data[first:], "application/octet-stream",
                       Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.reply(handler, 200, data, "application/octet-stream")

    # --- bad habits: for self.answers ---

    def times(self, count, pattern, act):
        """Answers the first `count` requests whose path fits with act(handler)."""
        left = [count]

        def answer(handler):
            with self.lock:
                if left[0] <= 0 or not re.search(pattern, handler.path):
                    return False
                left[0] -= 1
            act(handler)
            return True
        self.answers.append(answer)

    def status(self, count, pattern, status, **headers):
        self.times(count, pattern, lambda handler: self.reply(handler, status, b"{}", **headers))

    def cut(self, count, pattern, keep):
        """Breaks off after `keep` bytes of a blob."""
        def act(handler):
            data = self.blobs[handler.path.rsplit("/", 1)[1]]
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data[:keep])
            handler.wfile.flush()
            handler.close_connection = True
        self.times(count, pattern, act)
