# SPDX-License-Identifier: Apache-2.0
"""The system install, in a guest that systemd runs."""

import glob
import json
import os
import subprocess

from smoke.harness import GLOBAL, Skip, expect, scenario

SYSTEM_IMAGE = "smoke-systemd"
PROMISES = ("helper service", "server service", "helper socket", "server socket", "helper unit", "server unit")
# A line of a unit's hardening, what would weaken it, and the row of the doctor that must say so, alone.
WEAKENED = [(unit, f"{name}={value}", f"{unit} unit {name}") for unit, lines in {
    "helper": {"NoNewPrivileges": "no", "ProtectSystem": "full", "ProtectHome": "no", "RestrictSUIDSGID": "no",
               "LockPersonality": "no", "CapabilityBoundingSet": "CAP_SYS_PTRACE"},
    "server": {"NoNewPrivileges": "no", "ProtectSystem": "full", "ProtectHome": "no", "RestrictSUIDSGID": "no",
               "LockPersonality": "no", "User": "nobody"}}.items() for name, value in lines.items()]
# Calls that want a privilege, or that only its holder has a use for.
PRIVILEGED = "mount,umount2,setuid,setgid,setresuid,setresgid,setgroups,chown,fchown,lchown,mknod,mknodat,bpf,ptrace," \
             "init_module,finit_module,delete_module,reboot,swapon,swapoff,sethostname,chroot,pivot_root,setns,unshare,iopl,ioperm"


def system_packages(build):
    """What the guest needs to run our programs, by name."""
    programs = [os.path.join(build, p) for p in ("server/banger-server", "server/banger-unpack", "server/banger-archive",
                                                 "server/banger-netgate", "helper/banger-helper", "cli/banger",
                                                 "bench/banger-stub-vmm")]
    out = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    paths = {os.path.realpath(w) for line in out.splitlines() for w in line.split() if w.startswith("/") and ".so" in w}
    found = subprocess.run(["dpkg", "-S", *sorted(paths)], capture_output=True, text=True, check=False).stdout
    return sorted({line.split(":")[0] for line in found.splitlines()})


def import_system_image(t, build):
    if SYSTEM_IMAGE in t.ok("image", "list", "--quiet").split():
        return
    path = os.path.join(t.server.runtime, "systemd.tar")
    packages = ["systemd", "systemd-sysv", "dbus", "nftables", "curl", "ca-certificates", "adduser", "procps", "e2fsprogs",
                "squashfs-tools", "strace", *system_packages(build)]
    made = t.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(packages), "bookworm", path], timeout=500)
    expect(made.status == 0, "mmdebstrap", made)
    t.ok("image", "import", SYSTEM_IMAGE, path)
    os.unlink(path)


def as_owner(t, vm, command):
    return t.execute(vm, "su", "ann", "-c", command)


def failing(t, vm):
    checks = json.loads(as_owner(t, vm, "banger doctor --json || true"))["checks"]
    return {c["name"] for c in checks if c["status"] == "fail"}


def install(t, vm, build):
    root = os.path.join(t.server.runtime, "install")
    made = t.run(["cmake", "--install", build, "--prefix", f"{root}/tree", "--strip"])
    expect(made.status == 0, "cmake --install", made)
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    subprocess.run(["cp", "-r", f"{repository}/deploy", f"{repository}/docs", f"{build}/bench/banger-stub-vmm", root], check=True)
    kernel = glob.glob(f"{t.server.folder}/state/banger/kernels/*/vmlinux")
    expect(kernel, "no kernel in the store")
    subprocess.run(["cp", "-r", kernel[0], f"{os.path.dirname(kernel[0])}/modules", root], check=True)
    t.ok("cp", root, f"{vm}:/root/")
    t.execute(vm, "sh", "-c", "until systemctl is-system-running | grep -Eq 'running|degraded'; do sleep 0.5; done")
    t.execute(vm, "useradd", "--create-home", "ann")
    t.execute(vm, "/root/install/deploy/install", "--owner", "ann", "--from", "/root/install/tree", timeout=500)


def check_promises(t, vm):
    units = t.execute(vm, "systemctl", "is-active", "banger-helper", "banger-server", "banger-server.socket")
    expect(units == "active\nactive\nactive", "not active", units)
    doctor = as_owner(t, vm, "banger doctor || true")
    for promise in PROMISES:
        rows = [row for row in doctor.splitlines() if row.startswith(promise)]
        expect(rows and all(" pass " in row for row in rows), f"the install does not hold what it promises: {promise}", doctor)
    # A kernel without nftables is no reason to fail the install, but no way out for guests either.
    takes_rules = t.banger("vm", "exec", vm, "--", "nft", "list", "tables").status == 0
    row = [r for r in doctor.splitlines() if r.startswith("nat ")]
    expect(row and (" pass " in row[0] if takes_rules else " fail " in row[0] and "modprobe -a nf_tables" in doctor),
           "doctor and nft disagree about the kernel", doctor)
    stranger = t.banger("vm", "exec", vm, "--user", "nobody", "--", "curl", "-sS", "--unix-socket", "/run/banger/server.sock",
                        "http://localhost/vms")
    expect(stranger.status != 0, "another user reaches the socket", stranger)


def check_each_line(t, vm):
    """Hardening that is taken away is missed: its row fails, and no other."""
    before = failing(t, vm)
    for unit, line, row in WEAKENED:
        folder = f"/run/systemd/system/banger-{unit}.service.d"
        t.execute(vm, "sh", "-c", f"mkdir -p {folder} && printf '[Service]\\n{line.split('=')[0]}=\\n{line}\\n' >{folder}/weak.conf && "
                                  "systemctl daemon-reload")
        now = failing(t, vm)
        t.execute(vm, "rm", "-r", folder)
        expect(now - before == {row}, f"with {line} in {unit}'s unit these fail more", now - before)
    t.execute(vm, "systemctl", "daemon-reload")
    expect(failing(t, vm) == before, "what was put back is not seen", before)


def check_privileges(t, vm):
    """The server holds no capability, and a VM's whole life asks the kernel for nothing that wants one."""
    pid = t.execute(vm, "systemctl", "show", "-P", "MainPID", "banger-server")
    status = dict(line.split(":\t", 1) for line in t.execute(vm, "cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        expect(int(status[name], 16) == 0, f"the server has {name}", status[name])
    expect(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "no filter", status)
    t.execute(vm, "sh", "-c", f"strace -f -qq -e trace={PRIVILEGED} -e signal=none -o /root/calls -p {pid} "
                              "</dev/null >/dev/null 2>&1 & echo $! >/root/strace.pid; sleep 1")
    as_owner(t, vm, "banger vm create --quiet --name seen --image tiny --network none --boot cold --memory 96M --disk 16M")
    as_owner(t, vm, "banger vm stop seen; banger vm delete seen")
    t.execute(vm, "sh", "-c", "kill $(cat /root/strace.pid); sleep 1")
    calls = t.execute(vm, "cat", "/root/calls")
    expect(calls == "", "the server asks for what wants a privilege", calls)


def furnish(t, vm):
    """A kernel, an image, and a VMM that says yes to everything: a guest in this guest would take minutes."""
    t.execute(vm, "sh", "-c", "install -m 0755 /root/install/banger-stub-vmm /usr/bin/qemu-system-x86_64 && "
                              "cp -r /root/install/vmlinux /root/install/modules /srv && chmod -R a+rX /srv && mkdir -p /srv/root/bin /srv/root/etc && "
                              "tar -C /srv/root -cf /srv/tiny.tar . && systemctl restart banger-server")
    as_owner(t, vm, "banger kernel import --quiet --name stub /srv/vmlinux /srv/modules")
    as_owner(t, vm, "banger image import --quiet tiny /srv/tiny.tar")


def check_restarts(t, vm):
    """VMs outlast both services, and callers wait for the server instead of being refused."""
    as_owner(t, vm, "banger vm create --quiet --name outlives --image tiny --network none --boot cold --memory 96M --disk 16M")
    before = t.execute(vm, "pgrep", "-f", "name guest=outlives")
    t.execute(vm, "systemctl", "restart", "banger-helper", "banger-server")
    expect(t.execute(vm, "pgrep", "-f", "name guest=outlives") == before, "a restart ends the VM", before)
    t.execute(vm, "sh", "-c", "systemctl kill --kill-whom=main -s KILL banger-helper banger-server; su ann -c 'banger vm list' | grep -q outlives")
    expect(t.execute(vm, "pgrep", "-f", "name guest=outlives") == before, "the VM's process is another", before)
    expect('"running"' in as_owner(t, vm, "banger vm show outlives --json"), "the VM is not found again")
    as_owner(t, vm, "banger vm delete outlives")
    operation = as_owner(t, vm, "banger operation list --quiet").split()[0]
    found = t.execute(vm, "sh", "-c", f"journalctl -u banger-server -o cat | grep {operation}")
    expect("vm.delete" in found, "the journal does not have the operation", found)
    gone = t.banger("vm", "exec", vm, "--", "pgrep", "-f", "name guest=outlives")
    expect(gone.status == 1, "the VM's process is left", gone)


def check_names(t, vm):
    """A restart leaves the names to the system's resolver; the end of server and socket takes them back."""
    def clears():
        return int(t.execute(vm, "sh", "-c", "journalctl -u banger-helper --no-pager | grep -c dns.clear || true"))
    before = clears()
    t.execute(vm, "systemctl", "restart", "banger-server")
    expect(clears() == before, "a restart takes names back", before)
    t.execute(vm, "systemctl", "stop", "banger-server.socket", "banger-server")
    expect(clears() == before + 1, "a server that is stopped for good leaves its names behind", before, clears())
    t.execute(vm, "systemctl", "start", "banger-server.socket", "banger-server")


@scenario("system install in a guest with systemd: services, hardening line by line, privileges, restarts under a VM, and its end",
          kind=GLOBAL, asked=True)
def install_uninstall(t):
    if os.geteuid() != 0:
        raise Skip("mmdebstrap's root file system needs root")
    build = os.path.dirname(os.path.dirname(t.server.binary))
    if not os.path.exists(f"{build}/bench/banger-stub-vmm"):
        raise Skip("needs a build with tests: cmake --preset release -DBANGER_TESTS=ON")
    import_system_image(t, build)
    vm = t.name()
    t.ok("vm", "create", "--name", vm, "--image", SYSTEM_IMAGE, "--memory", "768M", "--vcpus", "2", "--init", "system",
         "--network", "none", "--boot", "cold", timeout=400)
    install(t, vm, build)
    check_promises(t, vm)
    check_each_line(t, vm)
    furnish(t, vm)
    check_privileges(t, vm)
    check_restarts(t, vm)
    check_names(t, vm)
    t.execute(vm, "/root/install/deploy/uninstall", "--purge")
    t.execute(vm, "userdel", "--remove", "ann")
    gone = t.banger("vm", "exec", vm, "--", "sh", "-c",
                    "ls -d /etc/banger /etc/tmpfiles.d/banger* /run/banger* /var/lib/banger /usr/local/bin/banger* /etc/systemd/system/banger*")
    expect(gone.out == "", "something is left", gone)
