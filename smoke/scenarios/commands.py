# SPDX-License-Identifier: Apache-2.0
"""vm run and vm exec: what comes out, which exit status, and that nothing stays behind."""

import json
import signal
import time

from smoke.harness import Failed, expect, scenario


@scenario("vm run --rm -- echo: the whole cycle")
def bare_run(t):
    name = t.name()
    result = t.banger("vm", "run", "--rm", "--name", name, "--", "echo", "smoke-bare-ok")
    expect(result.status == 0 and result.out == "smoke-bare-ok\n", "wrong output", result)
    expect(t.vm(name) is None, "the VM is still there")


@scenario("the command's exit status and signal are ours")
def exit_code(t):
    vm = t.create()
    for code in (0, 1, 2, 42, 125, 255):
        result = t.banger("vm", "exec", vm, "--", "sh", "-c", f"exit {code}")
        expect(result.status == code, f"exit {code} became {result.status}", result)
    result = t.banger("vm", "exec", vm, "--", "sh", "-c", "kill -9 $$")
    expect(result.status == 137, "SIGKILL is not 137", result)
    result = t.banger("vm", "exec", vm, "--", "/no/such/program")
    expect(result.status in (125, 126, 127) and result.err, "a missing program is not reported", result)
    result = t.banger("vm", "run", "--rm", "--name", t.name(), "--", "sh", "-c", "exit 42")
    expect(result.status == 42, "vm run does not pass 42 through", result)


@scenario("standard output and standard error stay apart, bytes as they are")
def output_streams(t):
    vm = t.create()
    result = t.banger("vm", "exec", vm, "--", "sh", "-c", "echo out; echo err >&2; printf 'a\\0b' ")
    expect(result.out == "out\na\0b" and result.err == "err\n", "streams are mixed", result)
    big = t.banger("vm", "exec", vm, "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    expect(big.out == "x" * 3000000, f"{len(big.out)} of 3000000 bytes came through")


@scenario("environment, working folder, user, standard input and timeout of a command")
def command_options(t):
    vm = t.create()
    expect(t.ok("vm", "exec", "-e", "GREETING=hello world", vm, "--", "sh", "-c", "echo $GREETING") ==
           "hello world\n", "the environment does not arrive")
    expect(t.ok("vm", "exec", "--cwd", "/tmp", vm, "pwd") == "/tmp\n", "the working folder does not arrive")
    expect(t.ok("vm", "exec", "--stdin", vm, "cat", stdin=b"via stdin\n") == "via stdin\n",
           "standard input does not arrive")
    result = t.banger("vm", "exec", "--timeout", "1s", vm, "sleep", "60")
    expect(result.status not in (0, 1) and result.seconds < 30, "the timeout does not end the command", result)


@scenario("several vm run --rm at once")
def concurrent_runs(t):
    names = [t.name() for _ in range(3)]
    running = [t.popen("vm", "run", "--rm", "--name", n, "--", "echo", f"i-am-{n}") for n in names]
    for name, process in zip(names, running):
        out, err = process.communicate(timeout=180)
        expect(process.returncode == 0 and out.decode() == f"i-am-{name}\n", f"{name} failed", out, err)
        expect(t.vm(name) is None, f"{name} is still there")


@scenario("Ctrl-C while a command runs: --rm still deletes the VM")
def interrupted_run(t):
    name = t.name()
    process = t.popen("vm", "run", "--rm", "--name", name, "--", "sh", "-c", "echo begun; sleep 300")
    begun = process.stdout.readline()
    expect(begun == b"begun\n", "the command did not begin", begun)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    expect(process.returncode == 130, f"exit status {process.returncode}, not 130")
    expect(t.vm(name) is None, "the VM is still there")


@scenario("Ctrl-C while the VM is made: nothing stays behind")
def interrupted_create(t):
    name = t.name()
    process = t.popen("vm", "run", "--rm", "--name", name, "--", "true")
    t.wait_for("the VM to appear", lambda: t.vm(name))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    expect(process.returncode in (0, 130), f"exit status {process.returncode}", err)
    expect(t.vm(name) is None, "the VM is still there")


@scenario("--detach leaves the VM running; combinations that make no sense are refused first")
def detach(t):
    for wrong in (["--detach", "--rm"], ["--detach", "--", "true"]):
        result = t.banger("vm", "run", *wrong)
        expect(result.status == 2, f"{wrong} is not refused", result)
    name = t.name()
    expect(t.ok("vm", "run", "--detach", "--name", name) == f"{name}\n", "the name is not printed")
    expect(t.execute(name, "echo", "still-here") == "still-here", "the VM does not run")


@scenario("a spec out of range is refused and leaves no row")
def invalid_spec(t):
    before = {v["id"] for v in t.api("GET", "/vms?limit=1000").json["items"]}
    bad = [{"vcpus": 0}, {"memory_mib": 1}, {"memory_mib": 1 << 20}, {"image": "no-such-image"},
           {"surprise": True}, {"vcpus": "two"}, {"network": "wifi"}]
    for wrong in bad:
        name = t.name()
        reply = t.api("POST", "/vms", {"name": name, "image": "mini", **wrong}, {"Prefer": "wait=60"})
        expect(400 <= reply.status < 600 and reply.status != 500, f"{wrong}: {reply.status}", reply.body)
        problem = reply.json
        expect(problem["detail"] and problem["status"] == reply.status, f"{wrong}: no problem document", problem)
        expect(t.vm(name) is None, f"{wrong} left a row")
    result = t.banger("vm", "run", "--rm", "--vcpus", "0", "--", "true")
    expect(result.status == 2, "--vcpus 0 is not refused", result)
    after = {v["id"] for v in t.api("GET", "/vms?limit=1000").json["items"]}
    expect(not [i for i in after - before if t.vm(i) and t.vm(i)["name"] in t.names], "rows were left")


@scenario("a name that is no DNS label is refused, one that is taken too")
def invalid_name(t):
    for wrong in ("Web", "-web", "web-", "we b", "we/b", "w" * 64, "wéb", "..", "a.b"):
        reply = t.api("POST", "/vms", {"name": wrong, "image": "mini"})
        expect(reply.status in (400, 422), f"'{wrong}': {reply.status}", reply.body)
        expect(any(e.get("pointer") == "/name" for e in reply.json.get("errors", [])),
               f"'{wrong}': the field is not named", reply.body)
    name = t.create()
    reply = t.api("POST", "/vms", {"name": name, "image": "mini"}, {"Prefer": "wait=60"})
    expect(reply.status == 409, f"a second {name}: {reply.status}", reply.body)
    result = t.banger("vm", "run", "--rm", "--name", name, "--", "true")
    expect(result.status == 125 and t.vm(name), "--rm of a taken name must not delete the other VM", result)


@scenario("--json prints the API's JSON, whatever the command")
def json_output(t):
    vm = t.create()
    expect(json.loads(t.ok("vm", "show", "--json", vm))["name"] == vm, "vm show")
    expect(vm in [v["name"] for v in json.loads(t.ok("vm", "list", "--json"))], "vm list")
    result = t.banger("vm", "exec", "--json", vm, "--", "sh", "-c", "echo hi; exit 3")
    expect(result.status == 3 and json.loads(result.out)["stdout"] == "hi\n", "vm exec", result)
    for command in (["image", "list"], ["kernel", "list"], ["operation", "list"], ["doctor"], ["version"]):
        json.loads(t.ok(*command, "--json"))
    expect(json.loads(t.ok("vm", "stop", "--json", vm))[0], "vm stop")


@scenario("exec on a stopped or missing VM says so")
def exec_not_running(t):
    result = t.banger("vm", "exec", "no-such-vm", "true")
    expect(result.status == 125 and "no-such-vm" in result.err, "a missing VM", result)
    vm = t.create(start=False)
    result = t.banger("vm", "exec", vm, "true")
    expect(result.status == 125 and result.err.startswith("banger: "), "a stopped VM", result)
    reply = t.api("POST", f"/vms/{vm}/exec", {"argv": ["true"]})
    expect(reply.status == 409, f"status {reply.status}, not 409", reply.body)


@scenario("a VM that is killed ends the command that runs in it, at once")
def killed_under_exec(t):
    vm = t.create()
    process = t.popen("vm", "exec", vm, "--", "sh", "-c", "echo begun; sleep 300")
    expect(process.stdout.readline() == b"begun\n", "the command did not begin")
    t.ok("vm", "kill", vm)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    if process.returncode != 125 or time.monotonic() - begun > 20:
        raise Failed(f"exit status {process.returncode} after {time.monotonic() - begun:.1f} s: {err!r}")
