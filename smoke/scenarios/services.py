# SPDX-License-Identifier: Apache-2.0
"""What the server does for others: images of a registry, CI jobs, the dashboard's sign-in."""

import http.client
import os
import tarfile
import urllib.parse

from registry import Registry, gz, layer, member

from smoke.harness import expect, scenario
from smoke.images import busybox_tar
from smoke.scenarios.server import tcp_port


@scenario("an image of a registry: pulled by digest, booted, its configuration kept")
def oci_pull(t):
    registry = Registry()
    try:
        registry.image("smoke/tool", "1", [gz(busybox_tar()), layer(member("etc/smoke", b"layer two\n"))],
                       {"Env": ["WHERE=from the image"], "WorkingDir": "/tmp"})
        name = f"{registry.host}/smoke/tool:1"
        t.ok("image", "pull", name)
        vm = t.create(image=name)
        out = t.execute(vm, "sh", "-c", "cat /etc/smoke; echo $WHERE; pwd")
        expect(out == "layer two\nfrom the image\n/tmp", "not what the image says", out)
        t.api("DELETE", f"/vms/{vm}", headers={"Prefer": "wait=60"})
        t.ok("image", "verify", name)
        missing = t.banger("image", "pull", f"{registry.host}/smoke/none:1")
        expect(missing.status == 1 and "smoke/none" in missing.err, "an image that is not there", missing)
        t.ok("image", "delete", name)
    finally:
        registry.close()


@scenario("a CI job in one call: a workspace in, output and exit status, artefacts out, nothing left")
def run_ci_job(t):
    folder = os.path.join(t.server.runtime, t.name())
    os.mkdir(folder)
    with open(os.path.join(folder, "build.sh"), "w") as f:
        f.write("mkdir -p out && echo built > out/result && echo job-says-hello && exit $1\n")
    archive = f"{folder}.tar"
    job = ["run", "--image", "mini", "--workspace", folder, "--artifact", f"/workspace/out={archive}", "-l", f"job={t.names[-1]}"]
    done = t.banger(*job, "--", "sh", "build.sh", "0")
    expect(done.status == 0 and done.out == "job-says-hello\n", "the job failed", done)
    with tarfile.open(archive) as tar:
        files = [m for m in tar.getmembers() if m.name.endswith("result")]
        expect(files and tar.extractfile(files[0]).read() == b"built\n", "no artefact", tar.getnames())
    expect(t.banger(*job, "--", "sh", "build.sh", "7").status == 7, "the exit status is not the job's")
    vms = [v for v in t.api("GET", "/vms").json["items"] if v.get("labels", {}).get("job") == t.names[-1]]
    expect(not vms, "a VM is left", vms)


def http_get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply


@scenario("the dashboard's sign-in: a link that works once, a cookie that only this origin can use")
def dashboard_login(t):
    port = tcp_port(t.server)
    link = urllib.parse.urlsplit(t.ok("open", "--print").strip())
    path = f"{link.path}?{link.query}"
    expect(link.port == port, "the link leads elsewhere", link)
    expect(http_get(port, "/vms").status == 401, "no session is needed")
    first = http_get(port, path)
    cookie = first.headers["Set-Cookie"]
    expect(first.status == 303 and cookie, f"status {first.status}", first.headers)
    for word in ("HttpOnly", "SameSite=Strict"):
        expect(word in cookie, f"the cookie is not {word}", cookie)
    pair = cookie.split(";")[0]
    expect(http_get(port, "/vms", Cookie=pair).status == 200, "the session is not taken")
    page = http_get(port, "/", Cookie=pair)
    expect(page.status == 200 and "script-src 'self'" in page.headers.get("Content-Security-Policy", ""),
           "no page, or no content security policy", page.headers)
    second = http_get(port, path)
    expect(second.status in (401, 403) and not second.headers["Set-Cookie"], "the link works twice", second.status)
    foreign = http_get(port, "/vms", Cookie=pair, Origin="http://evil.example")
    expect(foreign.status in (401, 403), "another origin is let in", foreign.status)
