# SPDX-License-Identifier: Apache-2.0
"""What keeps a server from starting is said in one line."""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import AGENT, SERVER, LifeTest


class Startup(LifeTest):
    warm = False

    def refused(self, *args, home=None, user=None, program=SERVER):
        command = [program, "--home", home or self.home, "--agent", AGENT]
        done = subprocess.run(command + list(args), capture_output=True, text=True, timeout=60, check=False,
                              user=user, stdin=subprocess.DEVNULL)
        self.assertNotEqual(0, done.returncode)
        lines = [line for line in done.stderr.splitlines() if line]
        self.assertEqual(1, len(lines), done.stderr)
        self.assertTrue(lines[0].startswith("banger-server: "), lines[0])
        return lines[0]

    def test_second_server_names_the_first(self):
        self.server.start()
        self.assertIn(f"pid {self.server.process.pid}", self.refused("--no-tcp"))
        self.assertTrue(self.server.answers())

    def test_after_a_crash_the_home_is_free(self):
        self.server.start()
        self.server.kill()
        self.server.start()

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.assertIn(str(port), self.refused("--listen", f"127.0.0.1:{port}"))

    def test_not_a_loopback_address(self):
        self.refused("--listen", "0.0.0.0:0")

    def test_socket_path_held_by_something_else(self):
        os.makedirs(f"{self.home}/run", mode=0o700)
        os.mkdir(f"{self.home}/run/server.sock")
        self.assertIn("server.sock", self.refused("--no-tcp"))

    def test_home_that_is_a_file(self):
        path = f"{self.home}/file"
        with open(path, "w", encoding="ascii"):
            pass
        self.assertIn(path, self.refused("--no-tcp", home=path))

    @unittest.skipIf(os.geteuid() != 0, "root becomes somebody else here")
    def test_home_that_cannot_be_written(self):
        # A checkout below /root is closed to others: the program is run from a folder that is not.
        os.chmod(self.home, 0o755)
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            program = shutil.copy(SERVER, folder)
            self.assertIn("ermission denied", self.refused("--no-tcp", user=65534, program=program))

    @unittest.skipIf(os.geteuid() != 0, "mounts")
    def test_home_that_is_read_only(self):
        if subprocess.run(["unshare", "-m", "--propagation", "private", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no mount can be private here, as in a chroot")
        self.server.start()
        self.server.stop()
        program = shutil.copy(SERVER, self.home)
        with open(f"{self.home}/wrapper", "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nhome="$2"\nexec unshare -m --propagation private sh -c \'mount --bind "$0" "$0" && '
                    f'mount -o remount,bind,ro "$0" && exec {program} "$@"\' "$home" "$@"\n')
        os.chmod(f"{self.home}/wrapper", 0o755)
        self.assertIn("Read-only file system", self.refused("--no-tcp", program=f"{self.home}/wrapper"))
        self.server.start()

    def test_corrupt_database(self):
        os.makedirs(f"{self.home}/state", mode=0o700)
        with open(f"{self.home}/state/state.db", "wb") as f:
            f.write(b"This is no database. " * 400)
        self.assertIn("state.db", self.refused("--no-tcp"))

    def test_damaged_database(self):
        self.server.start()
        self.server.stop()
        path = f"{self.home}/state/state.db"
        with open(path, "r+b") as f:
            f.seek(100)
            f.write(b"\xff" * 8000)
        self.assertIn("state.db", self.refused("--no-tcp"))

    def test_bad_options(self):
        for args in (["--listen", "nowhere"], ["--log-level", "loud"], ["surplus"]):
            with self.subTest(args=args):
                self.refused(*args)


if __name__ == "__main__":
    unittest.main(verbosity=2)
