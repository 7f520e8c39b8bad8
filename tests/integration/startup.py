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

    def handed(self, listener, home=None):
        """A server that gets its socket as systemd gives it: descriptor 3, and who it is for in the environment."""
        command = [SERVER, "--home", home or self.home, "--no-tcp", "--agent", AGENT]
        return subprocess.Popen(["sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}', "sh", *command],
                                pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def ask(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(self.server.socket)
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            yield
            yield client.recv(65536)

    def test_a_socket_that_systemd_holds(self):
        os.makedirs(os.path.dirname(self.server.socket), mode=0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.server.socket)
            listener.listen()
            # Who comes before the server, and between two of them, waits and is answered.
            for _ in range(2):
                early = self.ask()
                next(early)
                process = self.handed(listener)
                try:
                    self.assertIn(b"200 OK", next(early))
                    later = self.ask()
                    next(later)
                    self.assertIn(b"200 OK", next(later))
                finally:
                    process.terminate()
                    errors = process.communicate(timeout=60)[1]
                self.assertEqual(0, process.returncode, errors)
                self.assertTrue(os.path.exists(self.server.socket))

    def test_a_socket_of_somebody_else_is_not_taken(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.home}/elsewhere")
            listener.listen()
            process = self.handed(listener)
            self.assertIn("handed over", process.communicate(timeout=60)[1])
            self.assertEqual(1, process.returncode)

    def test_bad_options(self):
        for args in (["--listen", "nowhere"], ["--log-level", "loud"], ["surplus"]):
            with self.subTest(args=args):
                self.refused(*args)


if __name__ == "__main__":
    unittest.main(verbosity=2)
