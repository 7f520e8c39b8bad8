# SPDX-License-Identifier: Apache-2.0
"""A client of banger's API, without dependencies. Made from the OpenAPI document; `to_python` says how.

    from banger_client import Client
    banger = Client("/run/user/1000/banger/server.sock")
    vm = banger.vm_create({"name": "web", "image": "mini"}, wait=60)
    print(banger.vm_exec("web", {"argv": ["uname", "-a"]})["stdout"])

One method an operation of the document, by its operationId; `…_stream` where a reply can also come frame by frame.
A refusal raises Refused. What a method returns is checked against nothing here: the server's tests do that.
An object serves one thread at a time; a stream has a connection of its own.
"""
from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
import uuid
from typing import Any, Callable, Iterator, List, Literal, NotRequired, Optional, TypedDict, Union
from urllib.parse import quote, urlencode, urlsplit


class Refused(Exception):
    """What the server refused, with its RFC 9457 problem document."""

    def __init__(self, status: int, document: dict[str, Any]):
        super().__init__(f"{status} {document.get('code', '')}: {document.get('detail') or document.get('title', '')}")
        self.status = status
        self.code: str = document.get("code", "")
        self.remedy: str = document.get("remedy", "")
        self.errors: list[dict[str, Any]] = document.get("errors", [])
        self.document = document


class Reply:
    """A reply that is not JSON: its bytes, as they come. Close it, or use it with `with`."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse):
        self._connection = connection
        self._response = response
        self.status: int = response.status
        self.headers = response.headers

    def read(self, amount: int = -1) -> bytes:
        return self._response.read(None if amount < 0 else amount)

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._response.read1(65536):
            yield chunk

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Frames(Reply):
    """A stream of JSON objects; the last one says how it ended."""

    def __iter__(self) -> Iterator[Any]:
        for line in self._response:
            if line.strip():
                yield json.loads(line)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: Optional[float]):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Connection:
    """server: the path of the unix socket, or http(s)://host:port with a token. timeout: seconds without a byte, beside
    what a call asked the server to wait; None for ever. retries: how often a request whose connection broke is sent again.
    Only what may be repeated is: reads, and a POST, which carries an Idempotency-Key in any case."""

    def __init__(self, server: Optional[str] = None, token: Optional[str] = None, timeout: Optional[float] = 60,
                 retries: int = 2, context: Optional[ssl.SSLContext] = None):
        self.server = server or os.environ.get("BANGER_SERVER") or _default_socket()
        self.token = token or os.environ.get("BANGER_TOKEN")
        self.timeout = timeout
        self.retries = retries
        self.context = context
        self._kept: Optional[http.client.HTTPConnection] = None

    def close(self) -> None:
        if self._kept:
            self._kept.close()
        self._kept = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def every(self, operation: Callable[..., Any], **parameters: Any) -> Iterator[Any]:
        """Items of a list, page after page: every(banger.vm_list, label=["team=ci"])"""
        while True:
            page = operation(**parameters)
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            parameters["cursor"] = page["next_cursor"]

    def _open(self) -> http.client.HTTPConnection:
        if "://" not in self.server:
            return _UnixConnection(self.server, self.timeout)
        url = urlsplit(self.server)
        if url.scheme == "https":
            return http.client.HTTPSConnection(url.hostname or "", url.port, timeout=self.timeout, context=self.context)
        return http.client.HTTPConnection(url.hostname or "", url.port, timeout=self.timeout)

    def _send(self, connection: http.client.HTTPConnection, method: str, target: str, body: Any,
              headers: dict[str, str], wait: Optional[int]) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
        sock: Any = connection.sock
        sock.settimeout(None if self.timeout is None else self.timeout + (wait or 0))
        try:
            connection.request(method, target, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if not hasattr(body, "read"):
                raise
            # A body may be refused before all of it is sent; then there is a reply.
        return connection.getresponse()

    def _try(self, method: str, target: str, body: Any, headers: dict[str, str], wait: Optional[int],
             stream: bool) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """With the kept connection, or for a stream one of its own; again while that may be done."""
        again = self.retries if method in ("GET", "HEAD") or "Idempotency-Key" in headers else 0
        while True:
            connection = self._open() if stream or not self._kept else self._kept
            if not stream:
                self._kept = connection
            try:
                return connection, self._send(connection, method, target, body, headers, wait)
            except TimeoutError:
                self._drop(connection)
                raise
            except (OSError, http.client.RemoteDisconnected):
                self._drop(connection)
                if not again:
                    raise
                again -= 1
                time.sleep(0.2)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        if connection is self._kept:
            self._kept = None

    def _call(self, method: str, path: str, query: dict[str, Any], headers: dict[str, Any], body: Any = None,
              kind: Optional[str] = None, accept: str = "application/json", result: str = "json",
              wait: Optional[int] = None) -> Any:
        """result: json, bytes or frames."""
        query = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items() if v is not None}
        target = path + ("?" + urlencode(query, doseq=True) if query else "")
        sent = {k: str(v) for k, v in headers.items() if v is not None}
        sent["Accept"] = accept
        if "Idempotency-Key" in headers and "Idempotency-Key" not in sent:
            sent["Idempotency-Key"] = uuid.uuid4().hex
        if wait is not None:
            sent["Prefer"] = f"wait={wait}"
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = kind or "application/json"
            body = json.dumps(body).encode() if kind is None else body
        connection, response = self._try(method, target, body, sent, wait, result != "json")
        if response.status >= 400:
            raise self._problem(connection, response, result != "json")
        if result == "frames":
            return Frames(connection, response)
        if result == "bytes":
            return Reply(connection, response)
        data = response.read()
        if response.will_close:
            self._drop(connection)
        return json.loads(data) if data else None

    def _problem(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, stream: bool) -> Refused:
        data = response.read()
        if stream or response.will_close:
            self._drop(connection)
        try:
            return Refused(response.status, json.loads(data))
        except ValueError:
            return Refused(response.status, {"title": data[:200].decode(errors="replace")})


def _default_socket() -> str:
    home = os.environ.get("BANGER_HOME")
    if home:
        return f"{home}/run/server.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/banger/server.sock" if runtime else f"/tmp/banger-runtime-{os.getuid()}/server.sock"
