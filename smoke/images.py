# SPDX-License-Identifier: Apache-2.0
"""Root file systems that scenarios need, made of programs of this host: nothing is downloaded."""

import io
import os
import re
import subprocess
import tarfile
import threading

from smoke.harness import Skip

GIT_IMAGE = "smoke-git"
BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "cat", "ls", "echo", "find", "sort", "sha256sum", "head", "mkdir", "rm", "sync", "test", "id", "env", "uname")
lock = threading.Lock()


def libraries(program):
    """What the program is linked with, the loader too."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def add_file(tar, path, name=None):
    info = tarfile.TarInfo((name or path).lstrip("/"))
    with open(path, "rb") as f:
        data = f.read()
    info.size, info.mode = len(data), 0o755
    tar.addfile(info, io.BytesIO(data))


def add_text(tar, name, text):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), 0o644
    tar.addfile(info, io.BytesIO(text.encode()))


def busybox_tar(programs=()):
    """An uncompressed tar: busybox, and programs of this host with their libraries."""
    if not os.path.exists(BUSYBOX):
        raise Skip("no busybox here to make an image of: apt-get install busybox-static")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add_file(tar, BUSYBOX)
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name in ("root", "tmp", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        add_text(tar, "etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        for path in dict.fromkeys(p for program in programs for p in [program, *libraries(program)]):
            add_file(tar, path)
    return out.getvalue()


def import_git_image(t):
    """An image whose guests have git."""
    with lock:
        if GIT_IMAGE in t.ok("image", "list", "--quiet").split():
            return
        path = os.path.join(t.server.runtime, "git.tar")
        with open(path, "wb") as f:
            f.write(busybox_tar(["/usr/bin/git"]))
        t.ok("image", "import", GIT_IMAGE, path)
        os.unlink(path)
