# SPDX-License-Identifier: Apache-2.0
"""banger cp: files, folders, names and what can't be copied."""
import io
import os
import subprocess
import tarfile
import tempfile
import unittest

from harness import LifeTest

CLI = os.environ["BANGER_CLI"]


class Copy(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")
        folder = tempfile.TemporaryDirectory(prefix="bgt-")
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        self.env = {**os.environ, "BANGER_SERVER": self.server.socket}

    def cp(self, source, target, status=0):
        done = subprocess.run([CLI, "cp", source, target], env=self.env, cwd=self.dir, capture_output=True, timeout=120,
                              check=False)
        self.assertEqual(status, done.returncode, done)
        return done.stderr.decode()

    def write(self, name, data=b"data", mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(os.path.join(self.dir, name), "rb") as f:
            return f.read()

    def guest(self, script):
        return self.server.run("a", "sh", "-c", script)

    def test_files(self):
        data = os.urandom(5 << 20)
        self.write("big", data, 0o755)
        self.cp("big", "a:/root/renamed")
        self.assertEqual("755 0:0\n", self.guest("stat -c '%a %u:%g' /root/renamed"))
        self.cp("a:/root/renamed", "back")
        self.assertEqual(data, self.read("back"))
        self.assertEqual(0o755, os.stat(f"{self.dir}/back").st_mode & 0o777)
        self.cp("big", "a:/root")
        self.cp("a:/root/big", ".")
        self.assertEqual(data, self.read("big"))
        self.write("with space & %41", b"odd")
        self.cp("with space & %41", "a:/root/")
        self.assertEqual("odd", self.guest("cat '/root/with space & %41'"))
        self.write("empty", b"")
        self.cp("empty", "a:/root/empty")
        self.cp("a:/root/empty", "empty2")
        self.assertEqual(b"", self.read("empty2"))

    def test_folders(self):
        self.write("tree/one", b"1", 0o600)
        self.write("tree/deep/er/two", b"2")
        os.symlink("one", f"{self.dir}/tree/link")
        os.symlink("/etc/passwd", f"{self.dir}/tree/outside")
        with open(f"{self.dir}/tree/sparse", "wb") as f:
            f.seek(200 << 20)
            f.write(b"end")
        self.cp("tree", "a:/root/new")
        self.assertEqual("one\n", self.guest("readlink /root/new/link"))
        self.assertEqual("600 0:0\n", self.guest("stat -c '%a %u:%g' /root/new/one"))
        self.assertLess(int(self.guest("du -k /root/new/sparse").split()[0]), 1024)
        self.cp("tree", "a:/root/new")
        self.assertEqual("2", self.guest("cat /root/new/tree/deep/er/two"))
        self.cp("tree/.", "a:/root/again")
        self.assertEqual("2", self.guest("cat /root/again/deep/er/two"))
        self.cp("tree/.", "a:/")
        self.assertEqual("2", self.guest("cat /deep/er/two"))
        self.cp("tree", "a:/")
        self.assertEqual("2", self.guest("cat /tree/deep/er/two"))
        self.cp("a:/root/again", "back")
        self.assertEqual(b"2", self.read("back/deep/er/two"))
        self.assertEqual("one", os.readlink(f"{self.dir}/back/link"))
        self.cp("a:/root/again/.", "back")
        self.assertFalse(os.path.exists(f"{self.dir}/back/again"))
        self.cp("a:/root/again/deep", "back")
        self.cp("a:/root/again", "back")
        self.assertEqual(b"2", self.read("back/again/deep/er/two"))
        self.assertEqual("/etc/passwd", os.readlink(f"{self.dir}/back/outside"))
        self.assertEqual(3 + (200 << 20), os.stat(f"{self.dir}/back/sparse").st_size)
        self.assertEqual(os.getuid(), os.stat(f"{self.dir}/back/one").st_uid)

    def test_archives(self):
        self.guest("mkdir -p /root/d/e && echo 1 >/root/d/e/f && chown 7:8 /root/d/e/f && ln -s f /root/d/e/l")
        done = subprocess.run([CLI, "cp", "a:/root/d", "-"], env=self.env, capture_output=True, timeout=120, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            self.assertEqual((7, 8), (lambda m: (m.uid, m.gid))(tar.getmember("e/f")))
        subprocess.run([CLI, "cp", "-", "a:/root/again"], env=self.env, input=done.stdout, timeout=120, check=True)
        self.assertEqual("7:8\nf\n", self.guest("cd /root/again/e; stat -c %u:%g f; readlink l"))
        for command, status in ((["cp", "a:/no/such", "-"], 1), (["cp", "-", "a:relative"], 1), (["cp", "-", "-"], 2)):
            done = subprocess.run([CLI, *command], env=self.env, input=b"", capture_output=True, timeout=120, check=False)
            self.assertEqual((status, b""), (done.returncode, done.stdout), done)
        done = subprocess.run([CLI, "cp", "-", "a:/root/bad"], env=self.env, input=b"no archive" * 99, capture_output=True,
                              timeout=120, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn(b"not a tar archive", done.stderr)
        # What is refused is not sent, nor read from whoever has nothing yet.
        silent, ours = os.pipe()
        done = subprocess.run([CLI, "cp", "-", "nobody:/root"], env=self.env, stdin=silent, capture_output=True, timeout=120, check=False)
        os.close(silent)
        os.close(ours)
        self.assertEqual(1, done.returncode)
        self.assertIn(b"'nobody'", done.stderr)
        self.assertEqual([], os.listdir(self.dir))

    def test_the_longest_names(self):
        name = "n" * 255
        self.write(name, b"long")
        self.cp(name, "a:/root/")
        self.cp(name, f"a:/root/{name}")
        os.unlink(f"{self.dir}/{name}")
        self.cp(f"a:/root/{name}", ".")
        self.assertEqual(b"long", self.read(name))
        self.assertIn("File name too long", self.cp(f"a:/root/{name}", f"{name}n", 1))
        self.assertIn("File name too long", self.cp(name, f"a:/root/{name}n", 1))
        self.assertEqual([name], os.listdir(self.dir))
        self.assertEqual(f"{name}\n", self.guest("cd /root; ls -A | grep -v gitconfig"))

    def test_a_hostile_tree_stays_where_it_is_put(self):
        self.guest("mkdir -p /root/evil/sub && cd /root/evil && ln -s /tmp/bgt-out out && cp /bin/busybox setuid && "
                   "chmod 4755 setuid && mknod disk b 8 0 && mkfifo pipe && chmod 0 sub")
        self.cp("a:/root/evil", "evil")
        self.assertEqual("/tmp/bgt-out", os.readlink(f"{self.dir}/evil/out"))
        self.assertEqual(0o755, os.stat(f"{self.dir}/evil/setuid").st_mode & 0o7777)
        self.assertEqual(["out", "setuid", "sub"], sorted(os.listdir(f"{self.dir}/evil")))

    def test_a_file_of_the_host_is_replaced_whole_or_not_at_all(self):
        self.write("kept", b"precious", 0o640)
        self.guest("mkfifo /root/pipe; mknod /root/device c 1 3; ln -s /root/pipe /root/link")
        for name in ("pipe", "device", "link"):
            self.assertIn("only these can be copied", self.cp(f"a:/root/{name}", "kept", 1))
            self.cp(f"a:/root/{name}", "new", 1)
        self.assertIn("not there", self.cp("a:/root/none", "kept", 1))
        self.assertEqual(b"precious", self.read("kept"))
        self.assertEqual(["kept"], os.listdir(self.dir))
        os.symlink("kept", f"{self.dir}/name")
        self.cp("a:/etc/hostname", "name")
        self.assertEqual("kept", os.readlink(f"{self.dir}/name"))
        self.assertEqual(b"a\n", self.read("kept"))
        self.assertEqual(0o640, os.stat(f"{self.dir}/kept").st_mode & 0o777)
        self.assertEqual(["kept", "name"], sorted(os.listdir(self.dir)))
        os.mkfifo(f"{self.dir}/pipe")
        reader = subprocess.Popen(["cat", f"{self.dir}/pipe"], stdout=subprocess.PIPE)
        self.cp("a:/etc/hostname", "pipe")
        self.assertEqual(b"a\n", reader.communicate(timeout=60)[0])
        done = subprocess.run([CLI, "cp", "a:/etc/hostname", "/dev/stdout"], env=self.env, capture_output=True, timeout=60, check=True)
        self.assertEqual(b"a\n", done.stdout)

    def test_what_breaks_off_leaves_the_file_of_the_host(self):
        self.write("kept", b"precious")
        self.guest("dd if=/dev/zero of=/root/big bs=1M count=40 2>/dev/null")
        done = subprocess.run(["sh", "-c", 'ulimit -f 1000; exec "$0" cp a:/root/big kept', CLI], env=self.env, cwd=self.dir,
                              capture_output=True, timeout=120, check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertEqual(b"precious", self.read("kept"))

    def test_what_can_not_be(self):
        self.write("file")
        self.write("folder/file")
        self.assertIn("no such folder", self.cp("file", "a:/root/none/", 1))
        self.assertIn("no folder", self.cp("folder", "a:/etc/hostname", 1))
        self.assertIn("not there", self.cp("a:/no/such", ".", 1))
        self.cp("a:/etc", "file", 1)
        self.cp("none", "a:/root", 1)
        self.cp("file", "file2", 2)
        self.cp("a:/etc/hostname", "a:/root/x", 2)
        self.cp("file", "nobody:/root", 1)
        self.cp("file", "a:relative", 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
