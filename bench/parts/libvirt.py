# SPDX-License-Identifier: Apache-2.0
"""A cold boot beside libvirt: the same kernel, initramfs, disks and machine by `virsh create`.

libvirtd is a process of this part's own, in its session mode, with all its folders in /tmp, and ended at the end.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from xml.sax.saxutils import escape, quoteattr

import machine
from figures import Failed, Skip, beside, figure
from server import SHAPE

PACKAGES = "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients"


class Libvirt:
    def __init__(self, folder):
        self.folder = folder
        self.env = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "HOME": folder, "XDG_RUNTIME_DIR": f"{folder}/run",
                    "XDG_CONFIG_HOME": f"{folder}/config", "XDG_CACHE_HOME": f"{folder}/cache", "XDG_DATA_HOME": f"{folder}/data"}
        self.socket = f"{folder}/run/libvirt/libvirt-sock"
        os.makedirs(f"{folder}/config/libvirt")
        os.makedirs(f"{folder}/run", mode=0o700)
        # Without virtlogd, and without a security driver, which would want what a session has not.
        with open(f"{folder}/config/libvirt/qemu.conf", "w", encoding="ascii") as f:
            f.write('stdio_handler = "file"\nsecurity_driver = "none"\n')
        with open(f"{folder}/libvirtd.conf", "w", encoding="ascii") as f:
            f.write(f'auth_unix_ro = "none"\nauth_unix_rw = "none"\nlog_outputs = "3:file:{folder}/libvirtd.log"\n')
        # Root's libvirtd is the machine's: in a user namespace root is nobody, and libvirtd serves a session.
        nobody = ["unshare", "-U", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen([*nobody, machine.program("libvirtd"), "-f", f"{folder}/libvirtd.conf", "-p", f"{folder}/pid"],
                                        env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            machine.wait_until(self.answers, "libvirtd answers")
        except BaseException:
            self.close()
            raise

    def answers(self):
        if self.process.poll() is not None:
            with open(f"{self.folder}/libvirtd.log", encoding="utf-8", errors="replace") as f:
                raise Skip(f"libvirtd does not start here: {f.read()[-500:]}")
        return os.path.exists(self.socket) and self.virsh("list", check=False) == 0

    def virsh(self, *argv, check=True):
        done = subprocess.run([machine.program("virsh"), "-q", "-c", f"qemu:///session?socket={self.socket}", *argv], env=self.env,
                              capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failed(f"virsh {argv[0]}: {done.stderr.strip()}")
        return done.returncode

    def close(self):
        self.virsh("destroy", "bench", check=False)
        machine.stop(self.process)


def value_of(command, option):
    return command[command.index(option) + 1]


def domain(command, folder, console, words):
    """The VM of that VMM command line, as libvirt is told of it. What it has no words for (devices of the machine microvm) it
    hands on; `words` is the kernel's command line."""
    disks = [word for word in command if word.startswith("driver=raw,")]
    extra = ["-chardev", f"socket,id=link,path={folder}/link.sock,server=on,wait=off", "-device", "virtio-serial-device,max_ports=2",
             "-device", "virtserialport,chardev=link,name=banger.link", "-device", "virtio-rng-device"]
    for i, disk in enumerate(disks):
        disk = re.sub(r"file\.filename=\S*/work\.ext4", f"file.filename={folder}/work.ext4", disk)
        extra += ["-blockdev", disk, "-device", f"virtio-blk-device,drive=disk{i},serial={'work' if 'work.ext4' in disk else 'root'}"]
    arguments = "".join(f"<qemu:arg value={quoteattr(word)}/>" for word in extra)
    model = value_of(command, "-cpu").split("-")[0].split(",")[0]
    kind = "kvm" if value_of(command, "-accel").startswith("kvm") else "qemu"
    cpu = "<cpu mode='host-passthrough'/>" if kind == "kvm" else f"<cpu mode='custom'><model fallback='allow'>{model}</model></cpu>"
    return f"""<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>bench</name><memory unit='MiB'>{SHAPE['memory_mib']}</memory><vcpu>{SHAPE['vcpus']}</vcpu>
<os><type arch='x86_64' machine='microvm'>hvm</type><kernel>{escape(value_of(command, '-kernel'))}</kernel>
<initrd>{escape(value_of(command, '-initrd'))}</initrd><cmdline>{escape(words)}</cmdline></os>
<features><acpi/><apic/></features>{cpu}<on_reboot>destroy</on_reboot>
<devices><emulator>{shutil.which('qemu-system-x86_64')}</emulator><controller type='usb' model='none'/><memballoon model='none'/>
<serial type='unix'><source mode='bind' path={quoteattr(console)}/><target port='0'/></serial></devices>
<qemu:commandline>{arguments}</qemu:commandline></domain>
"""


def started(libvirt, text, path, hello):
    """Seconds from `virsh create` to the first byte at that socket of the VM."""
    with open(f"{libvirt.folder}/domain.xml", "w", encoding="utf-8") as f:
        f.write(text)
    begun = time.monotonic()
    libvirt.virsh("create", f"{libvirt.folder}/domain.xml")
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(path)
            if hello:
                s.sendall(hello)
            if not s.recv(1):
                raise Failed("the VM that libvirt started ended at once")
            return time.monotonic() - begun
    finally:
        libvirt.virsh("destroy", "bench", check=False)


def measure(server, rounds):
    for name in ("libvirtd", "virsh"):
        if not machine.program(name):
            raise Skip(f"{name} is not installed (Debian packages {PACKAGES})")
    folder = tempfile.mkdtemp(prefix="bglibvirt-", dir="/tmp")
    libvirt = Libvirt(folder)
    ours, agent, console = [], [], []
    try:
        for i in range(rounds):
            begun = time.monotonic()
            vm = server.create(f"virt{i}", boot="cold")
            ours.append(time.monotonic() - begun)
            with open(f"/proc/{server.vmm_pid(vm['id'])}/cmdline", "rb") as f:
                command = f.read().decode().rstrip("\0").split("\0")
            work = f"{server.home}/state/vms/{vm['id']}/work.ext4"
            server.call("POST", f"/vms/virt{i}/kill")
            subprocess.run(["cp", "--sparse=always", work, f"{folder}/work.ext4"], check=True)
            server.delete(f"virt{i}")
            words = value_of(command, "-append")
            agent.append(started(libvirt, domain(command, folder, f"{folder}/console.sock", words), f"{folder}/link.sock",
                                 b"BANGER-LINK 1 " + b"0" * 32 + b"\n"))
            loud = words.replace("loglevel=4", "loglevel=7 earlyprintk=ttyS0")
            console.append(started(libvirt, domain(command, folder, f"{folder}/console.sock", loud), f"{folder}/console.sock", b""))
    finally:
        libvirt.close()
        shutil.rmtree(folder, ignore_errors=True)
    yield figure("cold boot: POST /vms to running, where commands can be sent", ours, "s",
                 [beside("libvirt: virsh create to the agent's first byte", agent),
                  beside("libvirt: virsh create to the first console byte", console)],
                 note="the kernel's console is loud in the last one only")
