# SPDX-License-Identifier: Apache-2.0
"""Git repositories: into a guest, and what was done there back as a patch. One repository for all of them."""

import os
import subprocess

from smoke.harness import REPO, expect, scenario
from smoke.images import GIT_IMAGE, import_git_image


def git(repo, *args):
    env = {"PATH": os.environ["PATH"], "HOME": os.path.dirname(repo), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", "-C", repo, *args], env=env, capture_output=True, check=False, timeout=60)
    expect(done.returncode == 0, f"git {args}", done)
    return done.stdout.decode()


def write(repo, name, data):
    with open(os.path.join(repo, name), "wb") as f:
        f.write(data)


def the_repo(t):
    """Made by the first scenario that wants it; always as it was at first."""
    repo = os.path.join(t.server.runtime, "repo")
    if not os.path.isdir(repo):
        os.mkdir(repo)
        git(repo, "init", "-q", "-b", "main")
        git(repo, "config", "user.name", "Smoke")
        git(repo, "config", "user.email", "smoke@example.org")
        write(repo, "smoke-file.txt", b"first\n")
        write(repo, ".gitignore", b"ignored\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-q", "-m", "one")
        write(repo, "smoke-file.txt", b"workspace-ok\n")
        git(repo, "commit", "-q", "-a", "-m", "two")
        write(repo, "untracked", b"u\n")
        write(repo, "ignored", b"i\n")
    return repo


@scenario("vm run --rm REPO -- cat: tracked files are in the guest", kind=REPO)
def workspace_run(t):
    name = t.name()
    result = t.banger("vm", "run", "--rm", "--name", name, the_repo(t), "--", "cat", "/root/repo/smoke-file.txt")
    expect(result.status == 0 and result.out == "workspace-ok\n", "wrong output", result)
    expect(t.vm(name) is None, "the VM is still there")
    result = t.banger("vm", "run", "--rm", "--name", name, the_repo(t), "--", "ls", "untracked")
    expect(result.status != 0, "an untracked file went along", result)


@scenario("vm run --dry-run REPO lists what would be copied and makes nothing", kind=REPO)
def workspace_dryrun(t):
    name = t.name()
    listed = t.ok("vm", "run", "--dry-run", "--name", name, the_repo(t)).splitlines()
    expect(sorted(listed) == [".gitignore", "smoke-file.txt"], "not the tracked files", listed)
    expect(t.vm(name) is None, "a VM was made")


@scenario("--include-untracked takes untracked files along, ignored ones never", kind=REPO)
def include_untracked(t):
    out = t.ok("vm", "run", "--rm", "--name", t.name(), "--include-untracked", the_repo(t), "--", "sh", "-c",
               "cat untracked; test -e ignored || echo no-ignored")
    expect(out == "u\nno-ignored\n", "wrong files", out)


@scenario("--mode full_copy brings everything as it is", kind=REPO)
def full_copy(t):
    out = t.ok("vm", "run", "--rm", "--name", t.name(), "--mode", "full_copy", the_repo(t), "--", "sh", "-c",
               "cat untracked ignored smoke-file.txt; test -f .git/HEAD && echo history")
    expect(out == "u\ni\nworkspace-ok\nhistory\n", "wrong files", out)


@scenario("workspace export: new, changed, deleted and binary files as a patch that applies", kind=REPO)
def export(t):
    import_git_image(t)
    repo = the_repo(t)
    vm = t.create(image=GIT_IMAGE)
    t.ok("workspace", "prepare", vm, repo)
    t.execute(vm, "sh", "-c", "cd /root/repo && echo changed > smoke-file.txt && head -c 3000 /dev/urandom > bin && "
              "mkdir new && echo new > new/file && rm .gitignore")
    index = t.execute(vm, "sha256sum", "/root/repo/.git/index")
    patch = t.banger("workspace", "export", vm)
    expect(patch.status == 0, "export failed", patch)
    expect(t.execute(vm, "sha256sum", "/root/repo/.git/index") == index, "the guest's index was touched")
    apply_and_compare(t, vm, repo, "main", patch.raw_out)


@scenario("export --base-commit takes in what was committed in the guest", kind=REPO)
def export_base_commit(t):
    import_git_image(t)
    repo = the_repo(t)
    vm = t.create(image=GIT_IMAGE)
    t.ok("workspace", "prepare", vm, repo)
    base = git(repo, "rev-parse", "HEAD~1").strip()
    t.execute(vm, "sh", "-c", "cd /root/repo && echo more > more && git add more && git commit -q -m more && echo x > x")
    from_head = t.banger("workspace", "export", vm)
    expect("more" not in from_head.out and "+x" in from_head.out, "not only what HEAD lacks", from_head)
    from_base = t.banger("workspace", "export", "--base-commit", base, vm)
    expect("+more" in from_base.out and "+x" in from_base.out and "+workspace-ok" in from_base.out,
           "not everything since the commit", from_base)
    apply_and_compare(t, vm, repo, base, from_base.raw_out)
    wrong = t.banger("workspace", "export", "--base-commit", "0" * 40, vm)
    expect(wrong.status != 0 and wrong.err, "a commit that is not there", wrong)


def apply_and_compare(t, vm, repo, commit, patch):
    """The patch on a fresh checkout of `commit` makes the very files that the guest has."""
    checkout = os.path.join(t.server.runtime, t.name())
    git(repo, "worktree", "add", "-q", "--detach", checkout, commit)
    try:
        done = subprocess.run(["git", "apply"], cwd=checkout, input=patch, capture_output=True, check=False, timeout=60)
        expect(done.returncode == 0, "git apply refuses the patch", done)
        list_files = "find . -name .git -prune -o -type f -exec sha256sum {} + | sort"
        here = subprocess.run(["sh", "-c", list_files], cwd=checkout, capture_output=True, check=True).stdout.decode()
        there = t.execute(vm, "sh", "-c", f"cd /root/repo && {list_files}")
        expect(here.strip() == there, "the files differ", here, there)
    finally:
        git(repo, "worktree", "remove", "--force", checkout)
