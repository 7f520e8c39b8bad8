# SPDX-License-Identifier: Apache-2.0
"""Commands in the documents that name what is not here. Each is run with a stand-in for that, by a test that is named, or
is too long for every day; one that is neither is a failure, and so is a line here that no document has any more."""

import glob
import os
import pty
import re
import select
import subprocess
import tarfile
import time

from debian import deb, kernel_members
from registry import OCI, Registry, gz, sha256
from smoke.harness import GLOBAL, expect, scenario
from smoke.images import busybox_tar

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/guide/*.md")
PROGRAM = re.compile(r"(\./)?(apt-get|banger|bench/\w+|cmake|ctest|curl|deploy/\S+|journalctl|ping|tests/run)( |$)")

# A command, the file that runs it, and what stands there.
BY_TESTS = {
    "./deploy/quickstart": ("tests/integration/cli.py", r'"deploy", "quickstart"'),
    "./tests/run": (".ci/run", r"tests/run"),
    "./tests/run --only style,unit": ("tests/run", r"--only\)"),
    "deploy/install-packages build run test": ("tests/run", r"lists=\(build run test\)"),
    "cmake --preset release -DBANGER_TESTS=ON": ("tests/run", r'cmake --preset "\$preset" -DBANGER_TESTS=ON'),
    "cmake --build --preset release": ("tests/run", r'cmake --build --preset "\$preset"'),
    "ctest --preset release -L unit": ("tests/run", r"ctests release unit"),
    "journalctl -u banger-server -o cat | grep OPERATION": ("smoke/scenarios/install.py", r"journalctl -u banger-server -o cat"),
    "deploy/install --owner USER [--subnet NET] [--firecracker FILE] [--no-user-network]":
        ("smoke/scenarios/install.py", r'deploy/install", "--owner"'),
    "deploy/uninstall [--purge]": ("smoke/scenarios/install.py", r"deploy/uninstall"),
    "banger vm create --name web --network bridge": ("smoke/scenarios/network.py", r'network="bridge"'),
    "banger vm show web": ("tests/integration/cli.py", r'"vm", "show"'),
    "ping web.vm": ("tests/integration/bridge.py", r"\.vm"),
    "banger vm set web --no-nat": ("smoke/scenarios/network.py", r'"vm", "set", vm, "--no-nat"'),
    "banger ssh web": ("tests/integration/ssh.py", r'cli\("ssh", "web"'),
    "banger ssh web -- ls -l '/srv/a b'": ("tests/integration/ssh.py", r'cli\("ssh", "web", "--"'),
    "banger workspace export web | git apply": ("smoke/scenarios/workspaces.py", r'"git", "apply"'),
}
# Minutes to hours of measuring and building.
LONG = {
    "bench/run --report DIR", "bench/run --only exec,clone", "bench/run --minutes 10",
    "bench/run --only transfer --mib 10240 --rounds 1", "bench/pull ROOTFS.tar",
    "deploy/install-packages kernel", "banger kernel build microvm",
    "apt-get install --no-install-recommends nginx-light wrk crun docker-registry skopeo umoci openssh-server openssh-client "
    "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients",
}


def logical_lines(text):
    """The lines of a page that are indented, or stand at the prompt of a `console` block; continued ones in one."""
    fence, goes_on = None, False
    for line in text.splitlines():
        opened = re.match(r"\s*```(\w*)", line)
        if opened:
            fence = opened[1] if fence is None else None
            continue
        at_prompt = fence == "console" and re.match(r"\s*\$ (.*)", line)
        indented = fence is None and re.match(r"    +(\S.*)", line)
        found = at_prompt or indented
        if not found:
            goes_on = False
            continue
        word = re.sub(r"(^|\s)#.*", "", found[1]).strip()
        yield goes_on, word.removesuffix("\\").strip()
        goes_on = word.endswith(("\\", "|"))


def documented():
    """Commands outside of the `sh` blocks, which documents.py runs."""
    found = []
    for page in sorted(path for pattern in PAGES for path in glob.glob(os.path.join(ROOT, pattern))):
        with open(page, encoding="utf-8") as f:
            for goes_on, words in logical_lines(f.read()):
                if goes_on and found:
                    found[-1] += f" {words}"
                else:
                    found.append(words)
    return {command for command in found if PROGRAM.match(command)}


def run(t, command, stand_ins=(), path=None, **kwargs):
    """As it is written, but for the stand-ins."""
    words = command
    for name, real in stand_ins:
        expect(name in words, f"{name} is not in '{command}'")
        words = words.replace(name, real)
    env = dict(t.server.env, SOCK=t.server.socket)
    env["PATH"] = ":".join([*([path] if path else []), os.path.dirname(t.server.banger), env["PATH"]])
    done = t.run(["bash", "-c", f"set -euo pipefail\n{words}"], env=env, timeout=300, cwd=ROOT, **kwargs)
    expect(done.status == 0, f"does not run: {command}", done)
    return done.out


def on_terminal(t, command, begin, keys, seconds=60):
    """Runs it on a terminal, types `keys` once `begin` is seen, and waits for its end. What it showed."""
    ours, theirs = pty.openpty()
    env = dict(t.server.env, TERM="xterm", PATH=os.path.dirname(t.server.banger) + ":" + t.server.env["PATH"])
    child = subprocess.Popen(["bash", "-c", f"exec {command}"], env=env, stdin=theirs, stdout=theirs, stderr=theirs,
                             start_new_session=True)
    os.close(theirs)
    shown, typed, deadline = b"", False, time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # EIO: the other end is closed
                    break
            if begin in shown and not typed:
                typed = True
                os.write(ours, keys)
        expect(typed, f"{command}: '{begin.decode()}' did not come", shown.decode(errors="replace"))
        child.wait(10)
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    return shown.decode(errors="replace")


def run_terminals(t, commands):
    t.create(name="box")
    t.names.append("box")
    shell, top, console = commands
    out = on_terminal(t, shell, b"# ", b"echo $((40+2)); exit\n")
    expect("\r\n42" in out, "no shell", out)
    expect("PID" in on_terminal(t, top, b"PID", b"q"), "no top")
    t.execute("box", "sh", "-c", "(sleep 2; echo come-on >/dev/console) >/dev/null 2>&1 &")
    on_terminal(t, console, b"come-on", b"\r~.")
    t.api("DELETE", "/vms/box", headers={"Prefer": "wait=60"})


def run_images(t, commands):
    registry = Registry()
    folder = os.path.join(t.server.runtime, "srv")
    os.mkdir(folder)
    try:
        root = busybox_tar()
        digest = registry.image("org/tool", "1", [gz(root)])["digest"]
        registry.image("python", "3.12", [gz(root)])
        python = ("python:3.12", f"{registry.host}/python:3.12")
        pull, by_digest, over_api, from_tar, from_layout, register = commands
        run(t, pull, [python])
        run(t, by_digest, [("ghcr.io/org/tool@sha256:…", f"{registry.host}/org/tool@{digest}")])
        expect(digest in run(t, over_api, [python]), "not pulled over the API")
        with open(f"{folder}/rootfs.tar.gz", "wb") as f:
            f.write(gz(root))
        run(t, from_tar, [("/srv/", f"{folder}/")])
        write_layout(registry, "org/tool", "1", f"{folder}/tool-layout")
        t.ok("image", "delete", "tool")
        run(t, from_layout, [("/srv/", f"{folder}/")])
        os.mkdir(f"{folder}/root")
        with tarfile.open(f"{folder}/rootfs.tar.gz") as tar:
            tar.extractall(f"{folder}/root")
        squashed = t.run(["mksquashfs", f"{folder}/root", f"{folder}/root.squashfs", "-quiet", "-no-progress"])
        expect(squashed.status == 0, "mksquashfs", squashed)
        run(t, register, [("/srv/", f"{folder}/")])
        for name in (f"{registry.host}/python:3.12", "tool", "base", "ready"):
            vm = t.create(image=name)
            expect(t.execute(vm, "echo", "there") == "there", f"{name} does not boot")
            t.api("DELETE", f"/vms/{vm}", headers={"Prefer": "wait=60"})
            t.ok("image", "delete", name)
    finally:
        registry.close()


def write_layout(registry, repository, tag, path):
    """An OCI image layout of an image of the registry."""
    media, manifest = registry.manifests[repository, tag]
    os.makedirs(f"{path}/blobs/sha256")
    for data in [manifest, *registry.blobs.values()]:
        with open(f"{path}/blobs/sha256/{sha256(data)[7:]}", "wb") as f:
            f.write(data)
    with open(f"{path}/oci-layout", "w", encoding="ascii") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(f"{path}/index.json", "w", encoding="ascii") as f:
        f.write(f'{{"schemaVersion":2,"manifests":[{{"mediaType":"{media}","digest":"{sha256(manifest)}",'
                f'"size":{len(manifest)}}}]}}')


def run_promotion(t, promote, create):
    t.create(name="web")
    t.names.append("web")
    t.execute("web", "sh", "-c", "echo promoted >/root/mark")
    before = {vm["name"] for vm in t.api("GET", "/vms?limit=1000").json["items"]}
    run(t, promote)
    run(t, create)
    made = {vm["name"] for vm in t.api("GET", "/vms?limit=1000").json["items"]} - before
    t.names += made
    expect(len(made) == 1 and t.execute(*made, "cat", "/root/mark") == "promoted", "not what the VM had become", made)
    for name in ("web", *made):
        t.api("DELETE", f"/vms/{name}", headers={"Prefer": "wait=60"})
    t.ok("image", "delete", "tools")


def run_kernels(t, commands):
    registry = Registry()
    try:
        there = os.path.dirname(glob.glob(f"{t.server.folder}/state/banger/kernels/*/vmlinux")[0])
        package = deb(*kernel_members(there))
        digest = registry.blob(package)
        layers = [{"mediaType": "application/octet-stream", "digest": digest, "size": len(package),
                   "annotations": {"org.opencontainers.image.title": "kernel.deb"}}]
        media = f"{OCI}.manifest.v1+json"
        registry.manifest("org/kernel", "6.1", {
            "schemaVersion": 2, "mediaType": media, "artifactType": "application/vnd.test.kernel", "layers": layers,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": registry.blob(b"{}"), "size": 2}}, media)
        from_files, from_address, from_registry = commands
        run(t, from_files, [("/boot/vmlinuz-6.1.0-35-amd64", f"{there}/vmlinux"),
                            ("/lib/modules/6.1.0-35-amd64", f"{there}/modules")])
        run(t, from_address, [("https://example.org/vmlinux-6.1", f"http://{registry.host}/v2/org/kernel/blobs/{digest}"),
                              ("SHA256", digest[7:])])
        t.ok("kernel", "delete", "mine")
        run(t, from_registry, [("ghcr.io/", f"{registry.host}/")])
        for name in ("host", "mine"):
            t.ok("kernel", "delete", name)
    finally:
        registry.close()


def run_moves(t, by_cli, by_curl):
    """The other machine is this one: what `ssh` would run there."""
    folder = os.path.join(t.server.runtime, "bin")
    os.mkdir(folder)
    with open(f"{folder}/ssh", "w", encoding="ascii") as f:
        f.write('#!/bin/sh\nshift\nexec "$@"\n')
    os.chmod(f"{folder}/ssh", 0o755)
    vm = t.create()
    before = [s["id"] for s in t.api("GET", "/snapshots").json["items"]]
    one = t.api("POST", f"/vms/{vm}/snapshots", {}, {"Prefer": "wait=60"}).json["id"]
    run(t, by_cli, [("SNAPSHOT", one)], path=folder)
    run(t, by_curl, [("/ID/", f"/{one}/")], path=folder)
    there = [s["id"] for s in t.api("GET", "/snapshots").json["items"] if s["id"] not in before]
    expect(len(there) == 3 and one in there, "not two copies of the snapshot", there)
    for snapshot in there:
        t.api("DELETE", f"/snapshots/{snapshot}")


@scenario("commands in README, guide and documents that name what is elsewhere", kind=GLOBAL)
def elsewhere(t):
    terminals = ["banger shell box", "banger vm exec --tty box -- top", "banger vm console box"]
    images = ["banger image pull python:3.12", "banger image pull --name tool ghcr.io/org/tool@sha256:…",
              "curl --unix-socket $SOCK http://localhost/images -H 'Content-Type: application/json' "
              "-H 'Prefer: wait=600' -d '{\"pull\": \"python:3.12\"}'",
              "banger image import base /srv/rootfs.tar.gz", "banger image import tool /srv/tool-layout",
              "banger image register ready /srv/root.squashfs"]
    promotion = ["banger image promote web tools", "banger vm create --image tools"]
    kernels = ["banger kernel import --name host /boot/vmlinuz-6.1.0-35-amd64 /lib/modules/6.1.0-35-amd64",
               "banger kernel import --name mine https://example.org/vmlinux-6.1 SHA256",
               "banger kernel import --name mine ghcr.io/org/kernel:6.1"]
    moves = ["banger snapshot export SNAPSHOT | ssh other banger snapshot import",
             "curl --unix-socket $SOCK http://localhost/snapshots/ID/archive | "
             "ssh other curl --unix-socket $SOCK -H Content-Type:application/x-tar -T - -X POST http://localhost/snapshots"]
    here = ["bench/run --list"]
    known = {*terminals, *images, *promotion, *kernels, *moves, *here, *BY_TESTS, *LONG}
    expect(documented() == known, "commands that nobody runs, or that no document has",
           sorted(documented() - known), sorted(known - documented()))
    for command, (path, pattern) in BY_TESTS.items():
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            expect(re.search(pattern, f.read()), f"{path} does not run: {command}")
    for command in here:
        run(t, command)
    run_terminals(t, terminals)
    run_images(t, images)
    run_promotion(t, *promotion)
    run_kernels(t, kernels)
    run_moves(t, *moves)
