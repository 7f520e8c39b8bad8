# SPDX-License-Identifier: Apache-2.0
"""Start, stop, restart, kill, delete, prune: what they do to the guest and to its data."""

from smoke.harness import GLOBAL, expect, scenario

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@scenario("what a guest wrote is there after stop and start")
def stop_start_keeps_data(t):
    vm = t.create()
    t.execute(vm, "sh", "-c", "echo kept > /root/file; mkdir -p /etc/new; echo too > /etc/new/file")
    t.ok("vm", "stop", vm)
    expect(t.vm(vm)["state"] == "stopped", "not stopped", t.vm(vm))
    t.ok("vm", "start", vm)
    expect(t.execute(vm, "cat", "/root/file", "/etc/new/file") == "kept\ntoo", "the data is gone")


@scenario("restart is a real one: a new boot id")
def restart(t):
    vm = t.create()
    before = t.execute(vm, "cat", BOOT_ID)
    t.ok("vm", "restart", vm)
    expect(t.execute(vm, "cat", BOOT_ID) != before, "the boot id is the same")


@scenario("kill ends the VM at once; it can be started again")
def kill(t):
    vm = t.create()
    t.ok("vm", "kill", vm)
    expect(t.vm(vm)["state"] == "stopped", "not stopped", t.vm(vm))
    t.ok("vm", "start", vm)
    expect(t.execute(vm, "echo", "back") == "back", "does not start again")


@scenario("several targets: done in one go, answered in order, good ones in spite of bad ones")
def several_targets(t):
    a, b = t.create(), t.create()
    result = t.banger("vm", "stop", b, "no-such-vm", a, b)
    expect(result.status == 1 and result.out == f"{b}\n{a}\n", "order or status is wrong", result)
    expect("no-such-vm" in result.err, "the missing one is not named", result)
    expect(t.vm(a)["state"] == "stopped" and t.vm(b)["state"] == "stopped", "not all were stopped")
    # One VM by its name and its id is one target.
    vm_id = t.vm(a)["id"]
    expect(t.ok("vm", "delete", a, vm_id) == f"{a}\n", "name and id are not taken as one")


@scenario("a verb that the state does not allow says which are")
def wrong_state(t):
    vm = t.create(start=False)
    for verb, allowed in (("kill", (200, 409)), ("stop", (200, 409)), ("restart", (200, 202, 409))):
        reply = t.api("POST", f"/vms/{vm}/{verb}", headers={"Prefer": "wait=60"})
        expect(reply.status in allowed, f"{verb}: {reply.status}", reply.body)
        if reply.status == 409:
            expect(reply.json["detail"], "no explanation", reply.body)


@scenario("the serial console is there to read")
def logs(t):
    vm = t.create()
    t.execute(vm, "sh", "-c", "echo to-the-console > /dev/console")
    text = t.wait_for("the console's text", lambda: "to-the-console" in t.ok("vm", "logs", vm))
    expect(text, "not there")
    expect(len(t.ok("vm", "logs", "--tail", "10", vm)) <= 10, "--tail is not kept")


@scenario("a VM with a ttl goes by itself")
def ttl(t):
    vm = t.create(start=False, ttl_s=2)
    expect(t.vm(vm)["expires"], "it does not say when")
    t.wait_for("the end", lambda: t.vm(vm) is None, 60)


@scenario("list filters by label and state")
def labels(t):
    vm = t.create(start=False, labels={"team": "x", "smoke": "labels"})
    listed = t.ok("vm", "list", "--quiet", "--label", "smoke=labels").split()
    expect(listed == [vm], "wrong VMs", listed)
    expect(t.ok("vm", "list", "--quiet", "--label", "smoke=other") == "", "too many VMs")
    expect(vm not in t.ok("vm", "list", "--quiet", "--state", "running").split(), "state is not a filter")


@scenario("long work leaves an operation with its stages")
def operations(t):
    vm = t.create()
    vm_id = t.vm(vm)["id"]
    items = t.api("GET", f"/operations?target={vm_id}").json["items"]
    created = [o for o in items if o["kind"] == "vm.create"]
    expect(created and created[0]["state"] == "succeeded" and created[0]["stages"], "no such operation", items)
    expect("vm.create" in t.ok("operation", "show", created[0]["id"]), "operation show")


@scenario("prune deletes what does not run, and only that", kind=GLOBAL)
def prune(t):
    running, stopped = t.create(), t.create(start=False)
    result = t.banger("vm", "prune")
    expect(result.status == 1 and t.vm(stopped), "it did not ask", result)
    t.ok("vm", "prune", "--force")
    expect(t.vm(stopped) is None, "the stopped VM is still there")
    expect(t.vm(running)["state"] == "running", "the running VM is gone")
