#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: install.py HELPER
deploy/install and deploy/uninstall into a folder: what is written, with which owner and mode, how exposed
systemd rates the units, and that nothing is left. Exit status 77: not root, nothing was tested.
"""
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
OWNER = "games"  # an ordinary system user that every Debian has
passed = 0


def check(what, truth):
    global passed
    if not truth:
        print("not ok: " + what)
        sys.exit(1)
    passed += 1
    print("ok: " + what)


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def record(root):
    with open(root + "/etc/banger/install.toml", "rb") as f:
        return tomllib.load(f)


def exposure(root, unit):
    out = run("systemd-analyze", "security", "--offline=true", "--root=" + root, unit).stdout
    return float(re.search(r"exposure level for \S+: ([0-9.]+)", out).group(1))


def unit_lines(root, unit):
    with open("%s/etc/systemd/system/%s" % (root, unit), encoding="ascii") as f:
        return [line.rstrip("\n") for line in f]


def files(root):
    return sorted(os.path.relpath(os.path.join(d, n), root)
                  for d, _, names in os.walk(root) for n in names)


def test_install(root, build, helper):
    owner = pwd.getpwnam(OWNER)
    install = [TOP + "/deploy/install", "--root", root, "--build", build]
    r = run(*install, "--owner", "root")
    check("the owner can't be root", r.returncode == 1 and "can't be root" in r.stderr)
    check("nor nobody at all", run(*install, "--owner", "no-such-user").returncode == 1)
    check("nor left out", run(*install).returncode == 2)
    for subnet in ("8.8.0.0/16", "10.0.0.0/8", "10.1.2.3/16", "10.1.0.0", "10.1.0.0/16 --socket /tmp/x", "a|b"):
        r = run(*install, "--owner", OWNER, "--subnet", subnet)
        check("not with the network " + subnet, r.returncode == 1 and r.stderr.startswith("install: "))
    for route, subnet in (("10.77.3.0/24", "10.77.0.0/16"), ("172.16.0.0/12", "172.20.0.0/16")):
        r = run("unshare", "--net", "sh", "-c", "ip link set lo up && ip route add " + route +
                " dev lo && exec \"$@\"", "sh", *install, "--owner", OWNER, "--subnet", subnet)
        check("not where the host has the route " + route, r.returncode == 1 and route in r.stderr)
    check("nothing was written", not os.path.exists(root + "/etc"))
    r = run(*install, "--owner", OWNER, "--no-user-network", "--subnet", "172.20.0.0/16")
    check("installed: " + r.stderr, r.returncode == 0)
    first = record(root)
    check("the record names the owner", (first["owner"], first["owner_uid"]) ==
          (OWNER, owner.pw_uid))
    check("and the sockets", first["helper_socket"] == "/run/banger-helper/helper.sock" and
          first["server_socket"] == "/run/banger/server.sock")
    check("a unique local prefix", re.fullmatch(r"fd[0-9a-f]{2}:[0-9a-f]{4}:[0-9a-f]{4}::",
                                                first["ula"]))
    for path, uid, mode in (("/etc/banger/install.toml", 0, 0o644), ("/var/lib/banger", 0, 0o755),
                            ("/var/lib/banger/jail", 0, 0o711),
                            ("/var/lib/banger/state", owner.pw_uid, 0o700),
                            ("/var/cache/banger", owner.pw_uid, 0o700),
                            ("/usr/local/libexec/banger/banger-helper", 0, 0o755),
                            ("/usr/local/share/man/man1/banger.1", 0, 0o644),
                            ("/usr/local/share/man/man8/banger-server.8", 0, 0o644),
                            ("/usr/local/share/bash-completion/completions/banger", 0, 0o644)):
        st = os.stat(root + path)
        check("owner and mode of " + path, (st.st_uid, st.st_mode & 0o7777) == (uid, mode))
    with open(root + "/usr/local/share/man/man1/banger.1", encoding="utf-8") as f:
        manual = f.read()
    check("the manual has every command", manual.startswith(".TH BANGER 1 ") and
          ".SH \"COMMAND: vm run\"" in manual and "Exit status 125" in manual)
    with open(root + "/usr/local/share/man/man8/banger-helper.8", encoding="utf-8") as f:
        check("the helper's page has its options", "\\-\\-owner\\-uid UID" in f.read())
    lines = unit_lines(root, "banger-helper.service")
    capabilities = run(helper, "--print-capabilities").stdout.strip()
    check("the unit has the capabilities that the program wants",
          "CapabilityBoundingSet=" + capabilities in lines)
    start = [line for line in lines if line.startswith("ExecStart=")][0]
    check("the unit names the owner and the network",
          "--owner-uid %d " % owner.pw_uid in start and "--subnet 172.20.0.0/16" in start)
    check("no placeholder is left", not any("@" in line.replace("@system-service", "")
                                            for line in lines
                                            if not line.startswith("SystemCallFilter")))
    lines = unit_lines(root, "banger-server.socket")
    check("the socket is the owner's alone", "SocketUser=" + OWNER in lines and "SocketMode=0600" in lines and
          "ListenStream=" + first["server_socket"] in lines)
    if shutil.which("systemd-analyze"):
        check("the helper is exposed by 4.0 at most", exposure(root, "banger-helper.service") <= 4.0)
        check("the server by 2.0", exposure(root, "banger-server.service") <= 2.0)
    else:
        print("skipped: systemd-analyze is not installed")
    return install, first


def test_again(root, install, first):
    r = run(*install, "--owner", OWNER)
    check("installed again", r.returncode == 0)
    second = record(root)
    check("network and prefix are kept",
          (second["subnet"], second["ula"]) == (first["subnet"], first["ula"]))
    dropin = root + "/etc/systemd/system/banger-server.service.d/user-network.conf"
    check("with the user network this time", os.path.exists(dropin))
    check("not for another owner", run(*install, "--owner", "daemon").returncode == 1)
    check("and back", run(*install, "--owner", OWNER, "--no-user-network").returncode == 0 and
          not os.path.exists(dropin))


def test_uninstall(root):
    keep = root + "/var/lib/banger/state/state.db"
    with open(keep, "w", encoding="ascii") as f:
        f.write("disks and all")
    uninstall = [TOP + "/deploy/uninstall", "--root", root]
    check("uninstalled", run(*uninstall).returncode == 0)
    check("what the user made is kept, nothing else", files(root) ==
          ["var/lib/banger/state/state.db"])
    check("not twice", run(*uninstall).returncode == 1)


def test_purge(root, install):
    check("installed once more", run(*install, "--owner", OWNER).returncode == 0)
    check("purged", run(TOP + "/deploy/uninstall", "--purge", "--root", root).returncode == 0)
    check("nothing is left", files(root) == [] and not os.path.exists(root + "/var/lib/banger") and
          not os.path.exists(root + "/etc/banger"))


def main():
    if os.geteuid() != 0:
        print("skipped: needs root to give files to others")
        return 77
    helper = os.path.abspath(sys.argv[1])
    root = tempfile.mkdtemp(prefix="banger-install-")
    try:
        install, first = test_install(root, os.path.dirname(os.path.dirname(helper)), helper)
        test_again(root, install, first)
        test_uninstall(root)
        test_purge(root, install)
    finally:
        shutil.rmtree(root)
    print("%d passed, 0 failed" % passed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
