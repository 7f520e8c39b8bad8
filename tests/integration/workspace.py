# SPDX-License-Identifier: Apache-2.0
"""Git repositories of the host in a guest: what is copied, what is not, and that the repository itself stays as it is."""
import http.client
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from harness import SHAPE, LifeTest, UnixConnection, wait_until

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

    def give_git(self, vm):
        """The host's own git with its libraries; the image mini has none."""
        self.server.give(vm, shutil.which("git"))

    def patch(self, query="", status=200, path="/workspace/patch"):
        reply = self.server.call("GET", f"/vms/a{path}{query}")
        self.assertEqual(status, reply.status, reply)
        return reply

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
        self.assertIn("git is not in the guest", self.cli("workspace", "export", "a", status=1))

    def test_a_copy_in_full_is_the_same_tree(self):
        self.server.start()
        self.server.create("a")
        other = f"{self.dir}/module"
        os.mkdir(other)
        self.git("init", "-q", cwd=other)
        with open(f"{other}/in module", "w", encoding="ascii") as f:
            f.write("m")
        self.git("add", "-A", cwd=other)
        self.git("-c", "user.name=o", "-c", "user.email=o@o", "commit", "-q", "-m", "first", cwd=other)
        self.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "sub module")
        self.write(".gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n*.txt text eol=crlf\n")
        self.write("art.psd", "version https://git-lfs.github.com/spec/v1\n"
                   "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
        self.write("dos.txt", b"one\r\ntwo\r\n")
        self.write("latin-\udce4", "l")
        os.symlink("/nowhere/at all", f"{self.repo}/dangling")
        os.chmod(f"{self.repo}/untracked", 0o640)
        self.git("add", "art.psd", "dos.txt", ".gitattributes", "latin-\udce4", "dangling")
        self.git("commit", "-q", "-m", "of every kind")
        done = subprocess.run([CLI, "workspace", "prepare", "--mode", "full_copy", "a", self.repo], env=self.env,
                              capture_output=True, timeout=240, check=True, text=True)
        self.assertIn("git remote set-url origin https://example.org/app.git", done.stderr)
        self.cli("cp", "a:/root/repo", f"{self.dir}/back")

        def tree(root):
            found = {}
            for folder, folders, files in os.walk(os.fsencode(root)):
                for name in folders + files:
                    path = os.path.join(folder, name)
                    st = os.lstat(path)
                    what = os.readlink(path) if os.path.islink(path) else b""
                    if os.path.isfile(path) and not what:
                        with open(path, "rb") as f:
                            what = f.read()
                    found[os.path.relpath(path, os.fsencode(root))] = (st.st_mode, what)
            return found

        here, back = tree(self.repo), tree(f"{self.dir}/back")
        self.assertEqual(sorted(here), sorted(back))
        self.assertEqual([], [name for name in here if here[name] != back[name]])
        self.assertIn(b"sub module/in module", back)
        # Git sees the same: what was changed here, and nothing else.
        self.assertEqual(self.git("status", "--porcelain", "-z"), self.git("status", "--porcelain", "-z", cwd=f"{self.dir}/back"))

    def prepared(self, *options):
        """Sends the repository; the folder it is in after it came back."""
        back = tempfile.mkdtemp(prefix="back-", dir=self.dir)
        self.cli("workspace", "prepare", "--force", *options, "a", self.repo)
        self.cli("cp", "a:/root/repo/.", back)
        return back

    def test_a_sparse_checkout_stays_one(self):
        self.server.start()
        self.server.create("a", disk_mib=128)
        self.write("far/away", "far")
        self.write("far/with\nnewline", "far")
        self.write("crlf", "back again")
        self.commit("more")
        self.git("sparse-checkout", "set", "deep")
        self.assertFalse(os.path.exists(f"{self.repo}/far"))
        back = self.prepared()
        for status in (self.git("status", "--porcelain", "-uno"), self.git("status", "--porcelain", cwd=back)):
            self.assertEqual("", status)
        self.assertFalse(os.path.exists(f"{back}/far"))
        # Nor is what is not there a change made in the guest.
        self.give_git("a")
        self.assertEqual(b"", self.patch().body)
        self.server.run("a", "sh", "-c", "echo more >> /root/repo/count")
        self.assertEqual(1, self.patch().body.count(b"diff --git"))
        self.git("sparse-checkout", "disable", cwd=back)
        with open(f"{back}/far/away", encoding="ascii") as f:
            self.assertEqual("far", f.read())

    def test_line_ends_of_the_working_tree_arrive_as_they_are(self):
        self.server.start()
        self.server.create("a", disk_mib=128)
        self.git("config", "core.autocrlf", "true")
        self.write("windows.txt", b"a\r\nb\r\n")
        self.commit("line ends")
        self.assertEqual("a\nb\n", self.git("cat-file", "-p", "HEAD:windows.txt"))
        for options in ((), ("--branch", "fix")):
            back = self.prepared(*options)
            self.assertEqual("", self.git("status", "--porcelain", "-uno", cwd=back))
            with open(f"{back}/windows.txt", "rb") as f:
                self.assertEqual(b"a\r\nb\r\n", f.read())
        self.git("config", "core.filemode", "false")
        os.chmod(f"{self.repo}/run.sh", 0o644)
        self.assertEqual("", self.git("status", "--porcelain", "-uno", cwd=self.prepared()))

    def test_the_server_records_what_was_put_there(self):
        self.server.start()
        self.server.create("a")
        self.assertIn("prepare", self.server.must(404, "GET", "/vms/a/workspace")["detail"])
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as t:
            info = tarfile.TarInfo("file")
            info.size = 5
            t.addfile(info, io.BytesIO(b"hello"))
        head = "0123456789" * 4
        send = {"body": tar.getvalue(), "headers": {"Content-Type": "application/x-tar"}}
        made = self.server.must(201, "POST", f"/vms/a/workspace?head={head}&source=/home/x&branch=b", **send)
        self.assertEqual(("/root/repo", head, "/home/x", "b", len(tar.getvalue())),
                         tuple(made[f] for f in ("path", "head", "source", "branch", "bytes")))
        self.assertEqual(made, self.server.must(200, "GET", "/vms/a/workspace"))
        self.assertEqual("hello", self.server.run("a", "cat", "/root/repo/file"))
        # Again: not without a word, over what is there, or in its place.
        self.server.run("a", "touch", "/root/repo/more")
        self.assertIn("if_exists", self.server.must(409, "POST", "/vms/a/workspace", **send)["detail"])
        self.assertEqual(made, self.server.must(200, "GET", "/vms/a/workspace"))
        self.server.must(201, "POST", "/vms/a/workspace?if_exists=keep", **send)
        self.server.run("a", "test", "-f", "/root/repo/more")
        self.server.must(201, "POST", "/vms/a/workspace?if_exists=replace&path=/srv/w", **send)
        self.server.must(201, "POST", "/vms/a/workspace?if_exists=replace", **send)
        self.assertEqual("file\n", self.server.run("a", "ls", "/root/repo"))
        self.server.must(422, "POST", "/vms/a/workspace?head=main", **send)
        # What is no archive leaves no record of one.
        bad = {"body": b"x" * 4096, "headers": send["headers"]}
        self.assertGreaterEqual(self.server.call("POST", "/vms/a/workspace?if_exists=keep", **bad).status, 400)
        self.server.must(404, "GET", "/vms/a/workspace")
        # A fork stands where its parent stood, and the record outlives the server.
        self.server.must(201, "POST", "/vms/a/workspace?if_exists=replace", **send)
        made = self.server.must(200, "GET", "/vms/a/workspace")
        fork = self.server.must(200, "POST", "/vms/a/fork", {}, wait=200)["children"][0]
        self.assertEqual("succeeded", self.server.wait_operation(fork["operation"])["state"])
        self.server.stop()
        self.server.start()
        for vm in ("a", fork["name"]):
            self.assertEqual(made, self.server.must(200, "GET", f"/vms/{vm}/workspace"))

    def test_a_patch_has_all_that_was_changed(self):
        self.server.start()
        self.server.create("a")
        self.assertIn("/root/repo", self.patch(status=409).json()["detail"])
        self.cli("workspace", "prepare", "a", self.repo)
        self.assertIn("git", self.patch(status=409).json()["detail"])
        self.give_git("a")
        base = self.git("rev-parse", "HEAD").strip()
        first = self.patch()
        self.assertEqual(base, first.headers["Banger-Base-Commit"])
        self.assertIn(b"smoke changed", first.body)
        index = self.server.run("a", "sha256sum", "/root/repo/.git/index")
        self.server.run("a", "sh", "-c", "cd /root/repo && printf '\\000\\377\\001' >'new bin' && rm run.sh && "
                        "printf 'x\\r\\n' >>deep/er/bin && echo i >ignored && git rm -q --cached count && echo 99 >count")
        self.server.run("a", "sh", "-c", "cd /root/repo && git -c user.name=g -c user.email=g@g commit -q -m guest "
                        "--only 'deep/er/bin'")
        index = self.server.run("a", "sha256sum", "/root/repo/.git/index")
        status = self.server.run("a", "git", "-C", "/root/repo", "status", "--porcelain")
        patch = self.patch(f"?base_commit={base}")
        self.assertEqual(index, self.server.run("a", "sha256sum", "/root/repo/.git/index"))
        self.assertEqual(status, self.server.run("a", "git", "-C", "/root/repo", "status", "--porcelain"))
        self.assertEqual("", self.server.run("a", "sh", "-c", "ls /root/repo/.git | grep banger || true"))
        self.assertNotIn(b"deep/er/bin", self.patch().body)
        other = f"{self.dir}/other"
        self.git("clone", "-q", self.repo, other)
        subprocess.run(["git", "apply", "--index"], cwd=other, env=self.env, input=patch.body, check=True)
        for name in ("new bin", "deep/er/bin", "count", "smoke-file.txt"):
            with open(f"{other}/{name}", "rb") as f:
                there = self.server.raw("GET", "/vms/a/files/root/repo/" + name.replace(" ", "%20"))
                self.assertEqual(there.body, f.read(), name)
        for name in ("run.sh", "ignored", "crlf"):
            self.assertFalse(os.path.exists(f"{other}/{name}"), name)
        self.assertEqual(patch.body.decode("latin-1"),
                         subprocess.run([CLI, "workspace", "export", "--base-commit", base, "a"], env=self.env,
                                        capture_output=True, check=True).stdout.decode("latin-1"))
        self.assertIn("no commit 'nosuch'", self.patch("?base_commit=nosuch", 422).json()["detail"])
        self.assertEqual(422, self.patch("?base_commit=--help", 422).status)
        self.assertIn("no git repository", self.patch("?path=/tmp", 409).json()["detail"])
        # Nothing committed yet: all of it is new.
        self.server.run("a", "sh", "-c", "git init -q /srv/empty && echo new >/srv/empty/file")
        self.assertIn(b"+new", self.patch("?path=/srv/empty").body)

    def test_what_a_guest_calls_git_is_not_trusted(self):
        self.server.start()
        self.server.create("a")
        self.server.run("a", "mkdir", "-p", "/root/repo", "/usr/local/bin")
        head = {"Content-Type": "application/octet-stream"}

        def lie(says, at_the_end):
            script = ("#!/bin/sh\ncase \"$1 $2\" in 'rev-parse --absolute-git-dir'|'rev-parse --show-toplevel') echo /tmp;;\n"
                      f"'rev-parse --verify') {says};; '-c core.quotePath=true') {at_the_end};; esac\n")
            self.server.must(204, "PUT", "/vms/a/files/bin/git?mode=0755", script.encode(), headers=head)

        for says in ("true", "head -c 300000 /dev/zero | tr '\\0' z", "printf ' \\r\\nX-Evil: 1\\n'", f"echo {'a' * 39}",
                     "head -c 5000 /dev/zero | tr '\\0' a", f"printf 'z\\n{'a' * 40}\\n'"):
            lie(says, "echo patch")
            self.assertEqual("guest_failed", self.patch(status=502).json()["code"], says)
        # One that ends badly behind its first bytes: what came is not taken for all.
        lie(f"echo {'a' * 40}", "echo part; exit 1")
        with self.assertRaises(http.client.IncompleteRead):
            self.server.raw("GET", "/vms/a/workspace/patch")
        done = subprocess.run([CLI, "workspace", "export", "a"], env=self.env, capture_output=True, check=False)
        self.assertEqual((1, b"part\n"), (done.returncode, done.stdout))

    def test_a_workspace_that_breaks_off_is_not_on_record(self):
        self.server.start()
        self.server.create("a")
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as t:
            info = tarfile.TarInfo("file")
            info.size = 3 << 20
            t.addfile(info, io.BytesIO(bytes(info.size)))
        head = {"Content-Type": "application/x-tar"}
        self.server.must(201, "POST", "/vms/a/workspace", tar.getvalue(), headers=head)
        connection = UnixConnection(self.server.socket, 60)
        connection.putrequest("POST", "/vms/a/workspace?if_exists=keep")
        for name, value in {**head, "Content-Length": str(len(tar.getvalue()))}.items():
            connection.putheader(name, value)
        connection.endheaders(tar.getvalue()[:1 << 20])
        wait_until(lambda: self.server.call("GET", "/vms/a/workspace").status == 404, "the record has gone")
        connection.close()
        self.server.must(201, "POST", "/vms/a/workspace?if_exists=replace", tar.getvalue(), headers=head)

    def test_exec_says_that_the_repository_has_changed(self):
        self.server.start()
        self.server.create("a")
        self.assertIn("no workspace", self.cli("vm", "exec", "--auto-prepare", "a", "--", "true", status=125))
        self.cli("workspace", "prepare", "a", self.repo)

        def execute(*args):
            done = subprocess.run([CLI, "vm", "exec", *args], env=self.env, capture_output=True, check=True, text=True)
            return done.stdout, done.stderr

        self.assertEqual(("/root/repo\n", ""), execute("a", "--", "pwd"))
        self.assertEqual(("/tmp\n", ""), execute("--cwd", "/tmp", "a", "--", "pwd"))
        self.write("untracked", "again")
        self.assertEqual("", execute("a", "--", "true")[1])
        self.write("smoke-file.txt", "edited")
        out, err = execute("a", "--", "cat", "smoke-file.txt")
        self.assertEqual("smoke changed", out)
        self.assertIn("files have changed", err)
        self.assertEqual("", execute("--quiet", "a", "--", "true")[1])
        self.server.run("a", "touch", "/root/repo/built")
        self.assertEqual(("edited", ""), execute("--auto-prepare", "a", "--", "cat", "smoke-file.txt"))
        self.git("rm", "-q", "link", "with\nnewline")
        self.commit("moved on")
        self.assertIn("HEAD has moved", execute("a", "--", "true")[1])
        out, err = execute("--auto-prepare", "a", "--", "sh", "-c", "ls; cat .git/refs/heads/main")
        self.assertIn("built", out)
        self.assertNotIn("link", out)
        self.assertNotIn("newline", out)
        self.assertIn(self.git("rev-parse", "HEAD"), out)
        self.assertEqual("", err)
        self.assertEqual("", execute("a", "--", "true")[1])

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
        for mode in ("tracked", "full_copy"):
            said = self.cli("workspace", "prepare", "--mode", mode, "nobody", self.repo, status=1)
            self.assertIn("nobody", said)
            self.assertNotIn("POST", said)
        self.server.must(201, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "start": False}, wait=60)
        self.assertIn("a", self.cli("workspace", "prepare", "a", self.repo, status=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
