# SPDX-License-Identifier: Apache-2.0
"""What other programs make of an image, file by file: images that skopeo puts into docker-registry are pulled, and the
squashfs is held against what `umoci unpack` makes of the same image: kind, mode, owner, device, links, extended
attributes, content. Needs root for owners and devices; long: ctest -L compare."""
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

from harness import LifeTest, wait_until
from images import busybox
from registry import OCI, folder, gz, hardlink, layer, member, sha256, symlink

SPARSE_GIB = 8


def run(*argv, **kwargs):
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, **kwargs)
    if done.returncode:
        raise AssertionError(f"{argv[0]}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def without_end(data):
    """As umoci writes them: no blocks of zeros behind the last member."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
    return data[:last.offset_data + (last.size + 511) // 512 * 512]


class Layout:
    """An OCI image layout, written by hand."""

    def __init__(self, path):
        self.path = path
        os.makedirs(f"{path}/blobs/sha256")
        with open(f"{path}/oci-layout", "w", encoding="ascii") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        self.entries = []

    def blob(self, data, media):
        digest = sha256(data)
        with open(f"{self.path}/blobs/sha256/{digest[7:]}", "wb") as f:
            f.write(data)
        return {"mediaType": media, "digest": digest, "size": len(data)}

    def image(self, layers, arch="amd64"):
        """`layers`: tars; each goes in as it is, as gzip or as zstd, in turn or as told: (tar, how)."""
        described, diffs = [], []
        for i, one in enumerate(layers):
            data, how = one if isinstance(one, tuple) else (one, ("gzip", "gzip", "")[i % 3])
            diffs.append(sha256(data))
            packed = {"gzip": gz, "zstd": zstd, "": lambda d: d}[how](data)
            described.append(self.blob(packed, f"{OCI}.layer.v1.tar{'+' + how if how else ''}"))
        # Long before its files were written, as reproducible builds have it.
        config = json.dumps({"architecture": arch, "os": "linux", "created": "1980-01-01T00:00:01Z",
                             "config": {"Cmd": ["/bin/sh"]},
                             "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
        manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
                               "config": self.blob(config, f"{OCI}.config.v1+json"), "layers": described}).encode()
        return self.blob(manifest, f"{OCI}.manifest.v1+json")

    def save(self, descriptors):
        with open(f"{self.path}/index.json", "w", encoding="ascii") as f:
            json.dump({"schemaVersion": 2, "manifests": [
                {**d, "annotations": {"org.opencontainers.image.ref.name": "t"}} for d in descriptors]}, f)


def describe(root):
    """{path: everything that must be the same}. Hard links are told by the set of their names."""
    found, links = {}, {}
    for base, folders, files in os.walk(os.fsencode(root)):
        for name in [b""] * (base == os.fsencode(root)) + folders + files:
            path = os.path.join(base, name) if name else base
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            what = [oct(st.st_mode), st.st_uid, st.st_gid]
            if kind == stat.S_IFREG:
                digest = hashlib.sha256()
                with open(path, "rb") as f:
                    while piece := f.read(1 << 22):
                        digest.update(piece)
                what += [st.st_size, digest.hexdigest(), int(st.st_mtime)]
            elif kind == stat.S_IFLNK:
                what.append(os.readlink(path))
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                what += [os.major(st.st_rdev), os.minor(st.st_rdev)]
            what.append(sorted((x, os.getxattr(path, x, follow_symlinks=False))
                               for x in os.listxattr(path, follow_symlinks=False)))
            relative = os.path.relpath(path, os.fsencode(root))
            found[relative] = what
            if kind != stat.S_IFDIR and st.st_nlink > 1:
                links.setdefault(st.st_ino, []).append(relative)
    for names in links.values():
        for name in names:
            found[name].append(sorted(names))
    return found


def with_xattr(info_and_data, **attributes):
    info, data = info_and_data
    info.pax_headers = {f"SCHILY.xattr.{k.replace('_', '.', 1)}": v for k, v in attributes.items()}
    return info, data


# A capability in the form that the kernel keeps: version 2, cap_net_raw, effective. As text for a pax header.
CAP_NET_RAW = bytes([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).decode("latin-1")


class Compare(LifeTest):
    def setUp(self):
        super().setUp()
        self.work = tempfile.mkdtemp(prefix="bgt-compare-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{s.getsockname()[1]}"
        with open(f"{self.work}/registry.yml", "w", encoding="ascii") as f:
            f.write(f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {self.work}/registry\n"
                    f"http:\n  addr: {self.host}\nlog:\n  level: error\n")
        registry = subprocess.Popen(["docker-registry", "serve", f"{self.work}/registry.yml"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(registry.wait)
        self.addCleanup(registry.terminate)

        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", int(self.host.split(":")[1]))) == 0
        wait_until(answers, "docker-registry answers")
        self.server.start()

    def put(self, name, layout):
        """`all`: an index goes with all that it names."""
        run("skopeo", "copy", "--insecure-policy", "--all", "--preserve-digests", "--dest-tls-verify=false",
            f"oci:{layout.path}:t", f"docker://{self.host}/{name}:1")

    def compare(self, name, layers, vm=False, unlike=()):
        layout = Layout(f"{self.work}/{name}")
        layout.save([layout.image(layers)])
        self.put(name, layout)
        if any(one[1] == "zstd" for one in layers if isinstance(one, tuple)):
            # umoci does not know them: it is given the same layers in another wrapping.
            layout = Layout(f"{self.work}/{name}-gzip")
            layout.save([layout.image([(one[0], "gzip") if isinstance(one, tuple) else one for one in layers])])
        begun = time.monotonic()
        image = self.server.must(201, "POST", "/images", {"pull": f"{self.host}/{name}:1", "name": name}, wait=300)
        took = time.monotonic() - begun
        n = self.same_files(name, layout, image, unlike)
        print(f"{name}: {n} files are the same; pulled in {took:.1f} s", file=sys.stderr)
        if vm:
            self.server.create(name, image=name, boot="cold")
            self.assertEqual("ok\n", self.server.run(name, "echo", "ok"))

    def same_files(self, name, layout, image, unlike=()):
        """What umoci makes of the layout and what the server has made are the same; how many there are."""
        theirs, ours = f"{self.work}/{name}-umoci", f"{self.work}/{name}-ours"
        run("umoci", "unpack", "--image", f"{layout.path}:t", theirs)
        squashfs = f"{self.home}/state/images/{image['digest'].replace(':', '-')}/root.squashfs"
        run("unsquashfs", "-q", "-n", "-x", "-d", ours, squashfs)
        one, two = describe(f"{theirs}/rootfs"), describe(ours)
        for path in unlike:
            one.pop(path, None)
            two.pop(path, None)
        self.assertEqual(sorted(one), sorted(two))
        for path, what in one.items():
            if path != b".":
                self.assertEqual(what, two[path], path)
        shutil.rmtree(theirs)
        shutil.rmtree(ours)
        return len(one)

    def test_a_busybox_root(self):
        self.compare("busybox", [busybox(folder("home/ann", uid=1000, gid=1000), member("home/ann/x", b"1", uid=1000))],
                     vm=True)

    def test_a_debian_root(self):
        with open("/etc/os-release", encoding="utf-8") as f:
            suite = dict(line.rstrip().split("=", 1) for line in f if "=" in line)["VERSION_CODENAME"]
        run("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", suite, f"{self.work}/debian.tar")
        with open(f"{self.work}/debian.tar", "rb") as f:
            self.compare("debian", [f.read()], vm=True)

    def test_one_static_program(self):
        self.compare("static", [layer(member("app", b"\x7fELF" + os.urandom(70000), mode=0o755))])

    def test_many_layers(self):
        layers = [busybox()]
        for i in range(126):
            layers.append(layer(folder("n"), member(f"n/{i}", str(i).encode()),
                                *([member(f"n/.wh.{i - 3}")] if i % 7 == 0 and i > 3 else []),
                                member("n/same", os.urandom(100)), member(f"deep/{'d/' * (i % 9)}f", b"x")))
        self.compare("many", layers, vm=True)

    def test_everything_that_layers_can_say(self):
        base = busybox(
            folder("o"), folder("o/sub"), member("o/old", b"1"), member("o/sub/old", b"1"),
            folder("w"), member("w/gone", b"1"), folder("w/tree"), member("w/tree/x", b"1"), member("w/kept", b"k"),
            member("suid", b"s", mode=0o4755), member("sgid", b"s", mode=0o2755), folder("sticky", mode=0o1777),
            with_xattr(member("cap", b"c", mode=0o755), security_capability=CAP_NET_RAW),
            with_xattr(member("x", b"x"), user_one="1", user_two="zwei ü"),
            with_xattr(folder("xd"), user_folder="d"),
            member("h/one", b"linked", uid=5), hardlink("h/two", "h/one"), symlink("abs", "/w/kept"),
            symlink("up", "../../../w"), symlink("dangling", "/nowhere"), member("ünï cödé", b"u"),
            member("line\nbreak", b"n"), member("bad-\udcff-bytes", b"b"), member("n" * 255, b"long"),
            member("null", type=b"3", devmajor=1, devminor=3, mode=0o666),
            member("disk", type=b"4", devmajor=7, devminor=0, mode=0o660, gid=6),
            member("pipe", type=b"6", mode=0o600), member("empty"), folder("kind"), member("kind/x", b"1"),
            member("file-then-folder", b"1"))
        top = layer(member("o/.wh..wh..opq"), member("o/new", b"2"), member("w/.wh.gone"), member("w/.wh.tree"),
                    hardlink("h/three", "h/one"), member("h/two", b"its own now"), member(".wh.kind"),
                    symlink("kind", "w"), folder("file-then-folder"), member("file-then-folder/in", b"2"),
                    folder("xd", mode=0o700, uid=9), member("suid", b"other", mode=0o755))
        last = layer(member("o/.wh.new"), folder("w/tree"), member("w/tree/back", b"3"), member("h/.wh.one"))
        self.compare("all", [(base, "zstd"), without_end(top), (last, "")], vm=True)

    def test_a_sparse_file(self):
        path = f"{self.work}/sparse"
        with open(path, "wb") as f:
            f.truncate(SPARSE_GIB << 30)
            for at in (0, 1 << 30, (SPARSE_GIB << 30) - 5):
                f.seek(at)
                f.write(b"data!")
        run("tar", "-C", self.work, "-S", "--format=posix", "--owner=0", "--group=0", "-cf", f"{self.work}/sparse.tar",
            "sparse")
        os.unlink(path)
        with open(f"{self.work}/sparse.tar", "rb") as f:
            self.compare("sparse", [f.read()])

    def test_an_index_of_several_machines(self):
        layout = Layout(f"{self.work}/multi")
        layers = {arch: [layer(member(arch, b"1"), member("of", arch.encode()))] for arch in ("arm64", "amd64", "s390x")}
        entries = {arch: layout.image(what, arch) for arch, what in layers.items()}
        index = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [
            {**d, "platform": {"os": "linux", "architecture": arch}} for arch, d in entries.items()]}).encode()
        layout.save([layout.blob(index, f"{OCI}.index.v1+json")])
        self.put("multi", layout)
        image = self.server.must(201, "POST", "/images", {"pull": f"{self.host}/multi:1"}, wait=60)
        self.assertTrue(image["source"].endswith(entries["amd64"]["digest"]), image)
        one = Layout(f"{self.work}/multi-amd64")
        one.save([one.image(layers["amd64"])])
        self.assertEqual(3, self.same_files("multi", one, image))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root: owners and devices are compared")
        sys.exit(77)
    unittest.main(verbosity=2)
