# SPDX-License-Identifier: Apache-2.0
"""Pause, suspend, snapshot, fork, templates: memory that is kept, and identities that are not."""

from smoke.harness import expect, scenario


def counter(t, vm):
    return int(t.execute(vm, "cat", "/tmp/counter") or 0)


def count_in_background(t, vm):
    """A process whose progress shows whether memory went on."""
    t.execute(vm, "sh", "-c", "(i=0; while :; do i=$((i+1)); echo $i > /tmp/counter; sleep 0.2; done) "
              ">/dev/null 2>&1 </dev/null &")
    t.wait_for("the counter", lambda: t.banger("vm", "exec", vm, "--", "test", "-s", "/tmp/counter").status == 0)


@scenario("a paused VM stands still and goes on")
def pause_resume(t):
    vm = t.create()
    t.ok("vm", "pause", vm)
    expect(t.vm(vm)["state"] == "paused", "not paused", t.vm(vm))
    t.ok("vm", "resume", vm)
    expect(t.execute(vm, "echo", "on") == "on", "does not go on")


@scenario("suspend frees the process and keeps the memory; resume brings it back")
def suspend_wake(t):
    vm = t.create()
    count_in_background(t, vm)
    boot = t.execute(vm, "cat", "/proc/sys/kernel/random/boot_id")
    t.ok("vm", "suspend", vm)
    expect(t.vm(vm)["state"] == "suspended", "not suspended", t.vm(vm))
    t.ok("vm", "resume", vm)
    expect(t.execute(vm, "cat", "/proc/sys/kernel/random/boot_id") == boot, "it was booted anew")
    before = counter(t, vm)
    t.wait_for("the process to go on", lambda: counter(t, vm) > before)


@scenario("the second VM of a shape comes from a template, with an identity of its own")
def template_clone(t):
    t.create()
    seen = {}

    def restored():
        vm = t.create()
        if t.vm(vm).get("booted_from", "cold") != "cold":
            seen[vm] = True
        return len(seen) >= 2

    t.wait_for("two clones of a template", restored, 240)
    a, b = list(seen)[:2]
    for what in (["hostname"], ["head", "-c", "16", "/dev/urandom"], ["cat", "/etc/machine-id"]):
        one, two = (t.banger("vm", "exec", v, "--", *what) for v in (a, b))
        expect(one.out != two.out or one.status != 0, f"{what} is the same in both", one, two)


@scenario("fork copies memory and disk; the copies are machines of their own")
def fork_identity(t):
    vm = t.create()
    count_in_background(t, vm)
    t.execute(vm, "sh", "-c", "echo shared > /root/file")
    children = t.ok("vm", "fork", vm, "--count", "2").split()
    t.names += children
    expect(len(children) == 2, "not two copies", children)
    for child in children:
        t.ok("vm", "wait", child, "--state", "running")
        expect(t.execute(child, "cat", "/root/file") == "shared", "the disk was not copied")
        expect(t.execute(child, "hostname") == child, "the copy has another's name")
        before = counter(t, child)
        t.wait_for("the process in the copy", lambda c=child, n=before: counter(t, c) > n)
    drawn = {t.execute(v, "sh", "-c", "head -c 16 /dev/urandom | od -An -tx1") for v in [vm, *children]}
    expect(len(drawn) == 3, "random bytes are shared")
    t.execute(children[0], "sh", "-c", "echo mine > /root/file")
    expect(t.execute(vm, "cat", "/root/file") == "shared", "a copy writes to the original's disk")


@scenario("a snapshot brings a VM back, and makes new ones")
def snapshot_restore(t):
    vm = t.create()
    t.execute(vm, "sh", "-c", "echo before > /root/file; sync")
    snapshot = t.ok("snapshot", "create", vm, "--name", "smoke").strip()
    try:
        t.execute(vm, "sh", "-c", "echo after > /root/file; sync")
        t.ok("vm", "restore", vm, snapshot)
        expect(t.execute(vm, "cat", "/root/file") == "before", "not what it was")
        other = t.name()
        t.ok("vm", "create", "--name", other, "--from-snapshot", snapshot)
        expect(t.execute(other, "cat", "/root/file") == "before", "the new VM has other data")
        expect(snapshot in t.ok("snapshot", "list", vm), "not listed")
    finally:
        t.ok("snapshot", "delete", snapshot)


@scenario("set changes what it says, and refuses what needs a stop")
def vm_set(t):
    vm = t.create(labels={"old": "1"})
    t.ok("vm", "set", vm, "--label", "new=2")
    expect(t.vm(vm)["labels"] == {"new": "2"}, "labels", t.vm(vm))
    result = t.banger("vm", "set", vm, "--vcpus", "2")
    expect(result.status == 1 and "stop" in result.err, "vcpus of a running VM", result)
    t.ok("vm", "stop", vm)
    t.ok("vm", "set", vm, "--vcpus", "2")
    t.ok("vm", "start", vm)
    expect(t.execute(vm, "nproc") == "2", "the guest does not see two processors")
