# SPDX-License-Identifier: Apache-2.0
"""Debian packages that are made on the spot."""
import glob
import os

from registry import folder, gz, layer, member


def deb(*members, data="data.tar.gz", pack=gz):
    """A Debian package of these files."""
    parts = {"debian-binary": b"2.0\n", "control.tar": layer(), data: pack(layer(*members))}
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        for name, content in parts.items())


def kernel_members(kernel, release="6.1.0-test"):
    """The files of a package of a kernel of the store."""
    with open(f"{kernel}/vmlinux", "rb") as f:
        vmlinux = f.read()
    builtin = b"kernel/fs/ext4/ext4.ko\nkernel/drivers/char/hw_random/rng-core.ko\n"
    members = [folder("./boot"), member(f"./boot/vmlinuz-{release}", vmlinux), folder(f"./lib/modules/{release}/kernel"),
               member(f"./lib/modules/{release}/modules.builtin", builtin)]
    for path in glob.glob(f"{kernel}/modules/*.ko"):
        with open(path, "rb") as f:
            members.append(member(f"./lib/modules/{release}/kernel/{os.path.basename(path)}", f.read()))
    return members
