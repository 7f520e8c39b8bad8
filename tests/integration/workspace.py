# SPDX-License-Identifier: Apache-2.0
"""Git repositories of the host in a guest: what is copied, what is not, and that the repository itself stays as it is."""
import os
import subprocess
import tempfile
import unittest

from harness import SHAPE, LifeTest

CLI = os.environ["BANGER_CLI"]


class Workspace(LifeTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="bgt-")
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        self.repo = f"{self.dir}/my repo"
        os.mkdir(self.repo)
        self.env = {**os.environ, "BANGER_SERVER": self.server.socket, "HOME": self.dir, "GIT_CONFIG_NOSYSTEM": "1"}
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Some One")
        self.git("config", "user.email", "one@example.org")
        self.git("remote", "add", "origin", "https://me:secret@example.org/app.git")
        for i in range(14):
            self.write("count", str(i))
            self.commit(f"commit {i}")
        for name, data in (("smoke-file.txt", b"smoke"), ("with\nnewline", b"n"), ("crlf", b"a\r\nb\r\n"),
                           ("deep/er/bin", bytes(range(256)))):
            self.write(name, data)
        self.write("run.sh", "#!/bin/sh\necho ran in $(pwd)\n")
        os.chmod(f"{self.repo}/run.sh", 0o755)
        os.symlink("smoke-file.txt", f"{self.repo}/link")
        self.write(".gitignore", "ignored\n")
        self.commit("all of it")
        self.write("untracked", "u")
        self.write("ignored", "i")
        self.write("smoke-file.txt", "smoke changed")
        os.remove(f"{self.repo}/crlf")

    def git(self, *args, cwd=None):
        done = subprocess.run(["git", *args], cwd=cwd or self.repo, env=self.env, capture_output=True, check=False)
        self.assertEqual(0, done.returncode, done)
        return done.stdout.decode()

    def write(self, name, data):
        path = os.path.join(self.repo, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def cli(self, *args, status=0):
        done = subprocess.run([CLI, *args], env=self.env, capture_output=True, timeout=240, check=False, cwd=self.repo)
        self.assertEqual(status, done.returncode, done)
        return done.stdout.decode() if status == 0 else done.stderr.decode()

    def test_run_in_a_workspace(self):
        self.server.start()
        shape = ["--memory", "128", "--disk", "64", "--vcpus", "1", "--network", "none", "--image", "mini"]
        self.assertEqual("smoke changed", self.cli("vm", "run", "--rm", *shape, self.repo, "--", "cat",
                                                   "/root/repo/smoke-file.txt"))
        self.assertEqual("ran in /root/repo\n", self.cli("vm", "run", "--rm", *shape, ".", "--", "./run.sh"))
        self.assertEqual([], self.server.names())

    def test_what_arrives_is_a_repository_like_this_one(self):
        self.server.start()
        self.server.create("a")
        with open(f"{self.repo}/.git/index", "rb") as f:
            index = f.read()
        self.assertEqual("/root/repo\n", self.cli("workspace", "prepare", "a", self.repo))
        with open(f"{self.repo}/.git/index", "rb") as f:
            self.assertEqual(index, f.read())
        self.cli("cp", "a:/root/repo", f"{self.dir}/back")
        back = f"{self.dir}/back"
        self.assertEqual(self.git("status", "--porcelain", "-uno"), self.git("status", "--porcelain", cwd=back))
        self.assertEqual(self.git("rev-parse", "HEAD"), self.git("rev-parse", "HEAD", cwd=back))
        self.assertEqual("main\n", self.git("branch", "--show-current", cwd=back))
        self.assertEqual("10\n", self.git("rev-list", "--count", "HEAD", cwd=back))
        self.assertEqual("https://example.org/app.git\n", self.git("remote", "get-url", "origin", cwd=back))
        self.assertEqual("Some One\n", self.git("config", "user.name", cwd=back))
        self.assertEqual(0o755, os.stat(f"{back}/run.sh").st_mode & 0o777)
        self.assertTrue(os.path.islink(f"{back}/link"))
        for name in ("untracked", "ignored", "crlf"):
            self.assertFalse(os.path.exists(f"{back}/{name}"), name)
        self.assertEqual("0:0\n", self.server.run("a", "stat", "-c", "%u:%g", "/root/repo/.git"))
        self.assertIn("--force", self.cli("workspace", "prepare", "a", self.repo, status=1))
        self.cli("workspace", "prepare", "--force", "--include-untracked", "a", self.repo)
        self.assertEqual("u", self.server.run("a", "cat", "/root/repo/untracked"))
        self.cli("workspace", "prepare", "--guest-path", "/srv/b", "--branch", "fix", "--from-commit", "HEAD~12", "a",
                 self.repo)
        self.assertEqual("2", self.server.run("a", "cat", "/srv/b/count"))
        self.assertEqual("ref: refs/heads/fix\n", self.server.run("a", "cat", "/srv/b/.git/HEAD"))
        self.assertIn("git", self.cli("workspace", "export", "a", status=1))

    def test_what_is_refused_before_anything_is_made(self):
        names = self.cli("vm", "run", "--dry-run", self.repo).splitlines()
        self.assertIn("smoke-file.txt", names)
        self.assertNotIn("untracked", names)
        self.assertIn("untracked", self.cli("workspace", "prepare", "--dry-run", "--include-untracked", "a").splitlines())
        for args, word in ((["--mode", "wild", self.repo], "mode"), (["--from-commit", "HEAD", self.repo], "--branch"),
                           (["--branch", "b", "--from-commit", "none", self.repo], "no commit"),
                           (["--branch", "b ad", self.repo], "b ad"), ([self.dir], "git"), (["/no/such"], "/no/such")):
            done = subprocess.run([CLI, "vm", "run", *args, "--", "true"], env=self.env, capture_output=True, check=False)
            self.assertIn(done.returncode, (2, 125), args)
            self.assertIn(word, done.stderr.decode())
        self.git("update-index", "--add", "--cacheinfo", f"160000,{self.git('rev-parse', 'HEAD').strip()},sub")
        self.assertIn("submodules", self.cli("workspace", "prepare", "a", self.repo, status=1))

    def test_a_vm_that_is_not_there_or_does_not_run(self):
        self.server.start()
        self.cli("workspace", "prepare", "nobody", self.repo, status=1)
        self.server.must(201, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "start": False}, wait=60)
        self.assertIn("a", self.cli("workspace", "prepare", "a", self.repo, status=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
