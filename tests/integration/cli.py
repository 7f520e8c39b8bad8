# SPDX-License-Identifier: Apache-2.0
"""The command line against a real server: execs that go on by themselves, and shells on a pseudo-terminal."""
import json
import os
import pty
import select
import signal
import subprocess
import unittest

from harness import LifeTest, wait_until

CLI = os.environ["BANGER_CLI"]
QUICKSTART = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "quickstart")
# The prepared template's shape, as options.
SHAPE = ["--image", "mini", "--vcpus", "1", "--memory", "128M", "--disk", "64M", "--network", "none"]


class OnTerminal:
    """A command with a terminal of its own."""

    def __init__(self, argv, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, env)
        self.output = b""

    def until(self, text, timeout=60):
        while text not in self.output:
            if not select.select([self.fd], [], [], timeout)[0]:
                raise AssertionError(f"{text!r} does not come: {self.output[-500:]!r}")
            try:
                self.output += os.read(self.fd, 65536)
            except OSError:
                raise AssertionError(f"ended before {text!r}: {self.output[-500:]!r}") from None

    def type(self, text):
        os.write(self.fd, text.encode())

    def status(self):
        # What it still writes is taken, or it could not end.
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Cli(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")
        self.env = {**os.environ, "BANGER_SERVER": self.server.socket}

    def test_the_cache_is_pruned(self):
        os.makedirs(f"{self.home}/cache/disks", exist_ok=True)
        with open(f"{self.home}/cache/disks/ext4-16777215", "wb") as f:
            f.write(b"x" * (3 << 20))
        there = json.loads(self.run_cli("cache", "prune", "--dry-run", "--json"))["bytes"]
        self.assertGreaterEqual(there, 3 << 20)
        self.assertRegex(self.run_cli("cache", "prune", "--dry-run"), r"would free [1-9][0-9.]* MiB")
        self.assertRegex(self.run_cli("cache", "prune"), r"freed [1-9][0-9.]* MiB")
        self.assertRegex(self.run_cli("cache", "prune"), r"freed 0 B")

    def run_cli(self, *args, status=0, text=None):
        done = subprocess.run([CLI, *args], env=self.env, capture_output=True, timeout=300, check=False, input=text)
        self.assertEqual(status, done.returncode, done)
        return done.stdout.decode()

    def on_terminal(self, *args):
        return OnTerminal([CLI, *args], self.env)

    def test_an_exec_by_itself(self):
        script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; echo bad >&2; exit 6"
        exec_id = self.run_cli("vm", "exec", "--detach", "a", "--", "sh", "-c", script).strip()
        self.assertIn(exec_id, self.run_cli("execs", "list", "a"))
        # Without a buffer: communicate() does not return what readline() has read ahead.
        with subprocess.Popen([CLI, "execs", "logs", "-f", "a", exec_id], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0) as follower:
            first = follower.stdout.readline()
            self.server.kill()
            self.server.start()
            out, err = follower.communicate(timeout=120)
        self.assertEqual("".join(f"line {i}\n" for i in range(100)), (first + out).decode())
        self.assertEqual(b"bad\n", err)
        self.assertEqual(0, follower.returncode)
        self.run_cli("execs", "wait", "a", exec_id, status=6)
        self.assertEqual("line 99\n", self.run_cli("execs", "logs", "--from", str(len(first + out) - 8), "a", exec_id))
        self.run_cli("execs", "delete", "a", exec_id)
        self.run_cli("execs", "show", "a", exec_id, status=1)

    def test_when_a_vm_ends_and_sleeps(self):
        self.assertNotIn(" IN", self.run_cli("vm", "list").splitlines()[0])
        self.run_cli("vm", "set", "a", "--ttl", "2h", "--idle-suspend", "30m")
        head, row = self.run_cli("vm", "list").splitlines()
        self.assertRegex(head, "ENDS IN +SLEEPS IN$")
        self.assertRegex(row, r" 1 h +(29|30) m$")
        self.assertRegex(self.run_cli("vm", "show", "a"), r"expires +\S+Z \(in 1 h\)\n(.*\n)*sleeps +\S+Z \(in (29|30) m\)")
        self.run_cli("vm", "set", "a", "--ttl", "0", "--idle-suspend", "0")

    def test_an_exec_is_killed(self):
        exec_id = self.run_cli("exec", "--detach", "a", "sleep", "1000").strip()
        self.run_cli("execs", "kill", "--signal", "TERM", "a", exec_id)
        self.run_cli("execs", "wait", "a", exec_id, status=128 + 15)

    def test_a_shell(self):
        shell = self.on_terminal("shell", "a")
        shell.type("echo $((6*7))-here\r")
        shell.until(b"42-here")
        shell.type("exit 3\r")
        self.assertEqual(3, shell.status())

    def test_a_shell_survives_the_server_and_can_be_left(self):
        shell = self.on_terminal("vm", "shell", "a")
        shell.type("x=kept; echo $((2*4))-on\r")
        shell.until(b"8-on")
        self.server.kill()
        self.server.start()
        shell.type("echo $x-$((3*5))\r")
        shell.until(b"kept-15")
        shell.type("~d")
        self.assertEqual(0, shell.status())
        session = self.server.must(200, "GET", "/vms/a/execs")["items"][0]
        self.assertEqual("running", session["state"])
        again = self.on_terminal("vm", "shell", "--session", session["id"], "a")
        again.until(b"kept-15")
        again.type("\r~.")
        self.assertEqual(0, again.status())
        wait_until(lambda: not self.server.must(200, "GET", "/vms/a/execs")["items"], "the session has ended")

    def test_a_command_on_this_terminal(self):
        command = self.on_terminal("vm", "exec", "--tty", "a", "--", "sh", "-c", "tty; read x; echo got-$x; exit 5")
        command.until(b"/dev/pts/")
        command.type("word\r")
        command.until(b"got-word")
        self.assertEqual(5, command.status())

    def passing_run(self, name):
        """A `vm run --rm` whose command has begun and goes on."""
        process = subprocess.Popen([CLI, "vm", "run", "--rm", "--name", name, *SHAPE, "--", "sh", "-c",
                                    "echo begun; sleep 1000"], env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(b"begun\n", process.stdout.readline())
        return process

    def test_rm_holds_when_the_cli_is_killed(self):
        process = self.passing_run("passing")
        process.kill()
        process.wait()
        self.assertIn("expires", self.server.must(200, "GET", "/vms/passing"))
        self.server.must(200, "PATCH", "/vms/passing", {"ttl_s": 1})
        wait_until(lambda: self.server.names() == ["a"], "the VM is gone")

    def test_rm_holds_when_the_server_is_killed(self):
        process = self.passing_run("passing")
        self.server.kill()
        self.assertEqual(125, process.wait(60))
        self.server.start()
        self.assertIn("expires", self.server.must(200, "GET", "/vms/passing"))
        self.assertNotIn("expires", self.server.must(200, "GET", "/vms/a"))

    def test_rm_after_a_signal(self):
        for number in (signal.SIGQUIT, signal.SIGHUP):
            process = self.passing_run("passing")
            process.send_signal(number)
            self.assertEqual(128 + number, process.wait(120))
            self.assertEqual(["a"], self.server.names())

    def test_exec_without_a_command_runs_the_images_own(self):
        """A shell, which finds nothing to read."""
        config = self.server.must(200, "GET", "/images/mini")["config"]
        self.assertIn("/sh", (config.get("entrypoint", []) + config["cmd"])[-1])
        self.assertEqual("", self.run_cli("vm", "exec", "a"))

    def test_json_of_everything(self):
        document = json.loads(self.run_cli("vm", "logs", "--json", "a"))
        self.assertEqual("a", document["vm"])
        self.assertTrue({"data", "base64"} & set(document), document)
        for args, status, code in ((["vm", "show", "--json", "nobody"], 1, "not_found"),
                                   (["vm", "exec", "--json", "nobody", "true"], 125, "not_found"),
                                   (["vm", "run", "--json", "--rm", "--detach"], 2, "bad_request"),
                                   (["--json", "vm", "rum"], 2, "bad_request"),
                                   (["vm", "list", "--json", "--server", "/nowhere/s"], 1, "unavailable")):
            done = subprocess.run([CLI, *args], env=self.env, capture_output=True, timeout=300, check=False)
            self.assertEqual((status, b""), (done.returncode, done.stdout), done)
            self.assertEqual(code, json.loads(done.stderr)["code"], done)

    def test_templates(self):
        listed = json.loads(self.run_cli("template", "list", "--json"))
        self.assertEqual(["mini"], [one["image"] for one in listed])
        self.assertIn(listed[0]["id"], self.run_cli("template", "list"))
        self.assertEqual(listed[0], json.loads(self.run_cli("template", "show", "--json", listed[0]["id"])))
        self.run_cli("template", "delete", listed[0]["id"])
        self.run_cli("template", "show", listed[0]["id"], status=1)

    def test_output_that_nobody_can_take(self):
        closed = subprocess.run([CLI, "vm", "exec", "a", "--", "echo", "lost"], env=self.env, timeout=120, check=False,
                                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
        self.assertEqual(125, closed.returncode, closed)
        self.assertIn(b"Bad file descriptor", closed.stderr)
        reader, writer = os.pipe()
        os.close(reader)
        left = subprocess.run([CLI, "vm", "exec", "a", "--", "yes"], env=self.env, timeout=120, check=False,
                              stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        self.assertEqual((141, b""), (left.returncode, left.stderr))

    def stop_all(self):
        env = {**os.environ, "BANGER_HOME": self.home}
        done = subprocess.run([QUICKSTART, "--stop"], env=env, capture_output=True, timeout=300, check=False)
        self.assertEqual(0, done.returncode, done)
        return done.stdout.decode()

    def test_quickstart_stops_what_is_paused(self):
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        self.assertIn("stopped;", self.stop_all())
        self.assertEqual(0, self.server.process.wait(60))
        self.assertEqual({}, self.server.vmms())

    def test_quickstart_stops_what_a_dead_server_left(self):
        self.server.kill()
        self.assertNotEqual({}, self.server.vmms())
        self.assertIn("no server runs here, but its VMs do", self.stop_all())
        self.assertEqual({}, self.server.vmms())
        self.assertIn("no server runs here, and no VM", self.stop_all())

    def test_what_can_not_be(self):
        self.run_cli("shell", "nobody", status=125)
        self.run_cli("exec", "--detach", "a", "/no/such/program", status=125)
        self.run_cli("execs", "wait", "a", "0000000000000000", status=125)

    def test_what_is_said_is_said_once(self):
        done = subprocess.run([CLI, "vm", "create", "--image", "none@@"], env=self.env, capture_output=True, timeout=60, check=False, text=True)
        lines = [line.removeprefix("banger:").strip() for line in done.stderr.splitlines()]
        self.assertIn("no name of an image", lines[0])
        self.assertEqual(sorted(set(lines)), sorted(lines))
        self.assertIn("try:", self.run_cli("doctor"))
        self.assertNotIn("try:", self.run_cli("doctor", "-q"))

    def test_doctor_fixes_what_it_is_asked_to(self):
        self.server.delete("a")
        for template in self.server.must(200, "GET", "/templates")["items"]:
            self.server.must(204, "DELETE", f"/templates/{template['id']}")
        self.server.must(204, "DELETE", "/images/mini")
        found = {c["name"]: c for c in json.loads(self.run_cli("doctor", "--json"))["checks"]}
        self.assertEqual({"method": "POST", "path": "/images", "body": {"build": "mini"}}, found["image"]["fix"])
        self.assertNotIn("fix", found["kernel"])
        # Only when asked to.
        self.assertEqual([], self.server.must(200, "GET", "/images")["items"])
        fixed = {c["name"]: c["status"] for c in json.loads(self.run_cli("doctor", "--fix", "--json"))["checks"]}
        self.assertEqual("pass", fixed["image"])
        self.assertEqual(["mini"], [i["name"] for i in self.server.must(200, "GET", "/images")["items"]])
        done = subprocess.run([CLI, "doctor", "--fix"], env=self.env, capture_output=True, timeout=60, check=False, text=True)
        self.assertIn("nothing that could be fixed", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
