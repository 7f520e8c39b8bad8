# SPDX-License-Identifier: Apache-2.0
"""The API with curl, tokens on the TCP port, and what the server does when it is killed."""

import concurrent.futures
import json
import os
import re
import subprocess
import tempfile

from smoke.harness import GLOBAL, Server, Skip, expect, scenario


@scenario("create, exec and delete with curl, as README has it")
def curl_cycle(t):
    vm = t.name()
    body = json.dumps({"name": vm, "image": "mini", "vcpus": 1, "memory_mib": 256})
    made = t.curl("/vms", "-d", body, "-H", "Prefer: wait=60")
    expect(json.loads(made.out)["state"] == "running", "not running", made)
    done = t.curl(f"/vms/{vm}/exec", "-d", '{"argv":["uname","-a"]}', "-H", "Accept: text/plain", "-D", "/dev/stderr")
    expect(done.out.startswith("Linux "), "no output", done)
    expect(re.search(r"^Banger-Exit-Code: 0", done.err, re.M | re.I), "no exit code in the trailer", done)
    gone = t.curl(f"/vms/{vm}", "-X", "DELETE", "-H", "Prefer: wait=60", "-w", "%{http_code}")
    expect(gone.out == "204", "not deleted", gone)


@scenario("doctor: every check has a result, none fails here")
def doctor(t):
    checks = t.api("GET", "/doctor").json["checks"]
    names = {c["name"] for c in checks}
    expect(len(names) >= 5 and all(c["detail"] for c in checks), "too little", checks)
    result = t.banger("doctor")
    expect(result.status == 0, "doctor fails", result)


@scenario("bad requests get a problem document and break nothing")
def bad_requests(t):
    cases = [("POST", "/vms", "{", 400), ("POST", "/vms", "[]", 422), ("GET", "/nowhere", None, 404),
             ("PATCH", "/vms", None, 405), ("GET", "/vms?surprise=1", None, 422),
             ("GET", "/vms/no-such-vm", None, 404)]
    for method, path, body, status in cases:
        reply = t.api(method, path, body)
        expect(reply.status in (status, 400 if status == 422 else status), f"{method} {path}: {reply.status}",
               reply.body)
        expect(reply.headers["Content-Type"].startswith("application/problem+json"), "no problem", reply.body)
    big = t.run(["curl", "-s", "--unix-socket", t.server.socket, "http://localhost/vms", "-d", "@-", "-o", "/dev/null",
                 "-w", "%{http_code}"], stdin=b'{"name":"' + b"x" * (2 << 20) + b'"}')
    expect(big.out == "413", "a body of 2 MiB", big)
    expect(t.api("GET", "/healthz").status == 200, "the server does not answer any more")


def tcp_port(server):
    """The loopback port that the server listens on; those of forwards were opened later."""
    out = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    found = re.findall(rf"127\.0\.0\.1:(\d+) .*pid={server.process.pid},fd=(\d+)", out)
    if not found:
        raise Skip("ss does not show the server's port")
    return int(min(found, key=lambda one: int(one[1]))[0])


@scenario("the TCP port wants a token, of the right scope, and its own name as Host")
def tokens(t):
    url = f"http://127.0.0.1:{tcp_port(t.server)}"
    name = t.name()
    token = t.ok("token", "create", name, "--scope", "read").strip()
    expect(t.run(["curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null", f"{url}/vms"]).out == "401", "no token")
    bearer = ["-H", f"Authorization: Bearer {token}"]
    get = ["curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null", *bearer]
    expect(t.run([*get, f"{url}/vms"]).out == "200", "the token is not taken")
    expect(t.run([*get, "-d", "{}", f"{url}/vms"]).out == "403", "a read token may create")
    expect(t.run([*get, "-H", "Host: evil.example", f"{url}/vms"]).out in ("400", "403", "421"), "any Host is taken")
    env = dict(t.server.env, BANGER_SERVER=url, BANGER_TOKEN=token)
    expect(t.banger("vm", "list", env=env).status == 0, "the CLI does not use the token")
    t.ok("token", "delete", name)
    expect(t.run([*get, f"{url}/vms"]).out == "401", "a revoked token is taken")


@scenario("where passt can't make its sandbox, VMs get no network by default, and doctor says why")
def no_user_network(t):
    wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c",
               'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    if t.run([*wrapper, "true"]).status != 0:
        raise Skip("no user namespaces here to take them away in")
    with tempfile.TemporaryDirectory(prefix="banger-smoke-home-") as folder:
        server = Server(os.path.dirname(os.path.dirname(t.server.binary)), folder)
        try:
            server.start(wrapper=wrapper)
            checks = {c["name"]: c["detail"] for c in server.request("GET", "/doctor").json["checks"]}
        finally:
            server.stop()
    expect("network=none (host: " in checks["vm defaults"], "doctor does not say so", checks)


@scenario("a second server on the same home refuses and names the first", kind=GLOBAL)
def second_server(t):
    result = t.run([t.server.binary, "--no-tcp"], timeout=30)
    expect(result.status != 0 and str(t.server.process.pid) in result.err, "it does not refuse", result)
    expect(t.api("GET", "/healthz").status == 200, "the first one suffers")


@scenario("kill -9 of the server: its VMs go on and are found again", kind=GLOBAL)
def server_crash(t):
    names = [t.create() for _ in range(3)]
    boots = [t.execute(n, "cat", "/proc/sys/kernel/random/boot_id") for n in names]
    t.server.kill()
    result = t.banger("vm", "list")
    expect(result.status == 1 and "no server answers" in result.err, "a dead server is not reported", result)
    t.server.start()
    for name, boot in zip(names, boots):
        expect(t.vm(name)["state"] == "running", f"{name} is not running", t.vm(name))
        expect(t.execute(name, "cat", "/proc/sys/kernel/random/boot_id") == boot, f"{name} was rebooted")


@scenario("20 VMs created, used and deleted at once leave nothing", kind=GLOBAL)
def twenty_vms(t):
    def cycle(name):
        return t.banger("vm", "run", "--rm", "--memory", "128M", "--name", name, "--", "echo", name, timeout=600)

    names = [t.name() for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        for name, result in zip(names, pool.map(cycle, names)):
            expect(result.status == 0 and result.out == f"{name}\n", f"{name} failed", result)
    nothing_left(t)


@scenario("after everything: no VM, process, socket or folder is left", kind=GLOBAL)
def nothing_left(t):
    for vm in t.api("GET", "/vms?limit=1000").json["items"]:
        if vm["name"] not in t.names and vm["name"].startswith("smoke-"):
            t.api("DELETE", f"/vms/{vm['id']}", headers={"Prefer": "wait=60"})
    expect(t.api("GET", "/vms").json["items"] == [], "VMs are left")
    # Templates are made in the background, in VMs of their own.
    t.wait_for("background work to end", lambda: not t.api("GET", "/operations?state=running").json["items"], 180)
    # The VM that is kept ready goes with its template.
    for template in t.api("GET", "/templates").json["items"]:
        t.api("DELETE", f"/templates/{template['id']}")
    t.wait_for("the processes to go", lambda: not t.server.guests(), 20)
    left = [os.path.join(folder, f) for root in (t.server.runtime, t.server.env["XDG_STATE_HOME"])
            for folder, _, files in os.walk(root) for f in files
            if "/vms/" in folder + "/"]
    expect(not left, "files are left", *left)
