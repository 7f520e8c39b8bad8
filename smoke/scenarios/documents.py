# SPDX-License-Identifier: Apache-2.0
"""The commands in README and the guide do what is written."""

import glob
import os
import re
import shutil

from smoke.harness import GLOBAL, Skip, expect, scenario

GUIDE = os.path.join("docs", "guide")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks(path):
    with open(path) as f:
        return re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S)


def run_page(t, path):
    """All `sh` blocks of a page in one shell, as a reader would type them."""
    env = dict(t.server.env, SOCK=t.server.socket)
    env["PATH"] = ":".join([os.path.dirname(t.server.banger), os.path.dirname(t.server.binary), env["PATH"]])
    script = "set -euo pipefail\n" + "\n".join(blocks(path))
    folder = os.path.join(env["HOME"], "page")
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
    os.makedirs(folder)
    result = t.run(["bash", "-c", script], env=env, timeout=400, cwd=folder)
    expect(result.status == 0, f"{os.path.relpath(path, ROOT)} does not run", result)
    return result


@scenario("README's tour", kind=GLOBAL)
def readme(t):
    t.names += ["tour", "web"]
    with open(os.path.join(ROOT, "README.md")) as f:
        top = f.read(400)
    for command in ("./deploy/quickstart", "./tests/run"):
        expect(f"    {command} " in top, f"{command} does not stand at the top")
        expect(os.access(os.path.join(ROOT, command), os.X_OK), f"{command} can't be run")
    out = run_page(t, os.path.join(ROOT, "README.md")).out
    expect(out.startswith("hello\n") and "\ndata\n" in out and "Linux web" in out, "wrong output", out)


@scenario("every page of the guide but the one on networks, and the operator's", kind=GLOBAL)
def guide(t):
    t.names += ["demo", "demo-2", "short", "box", "cook", "listed"]
    pages = sorted(glob.glob(os.path.join(ROOT, GUIDE, "*.md"))) + [os.path.join(ROOT, "docs", "operations.md")]
    expect(len(pages) >= 5, "pages are missing", pages)
    for page in pages:
        if os.path.basename(page) != "network.md":
            run_page(t, page)


@scenario("the guide's page on networks", kind=GLOBAL)
def guide_network(t):
    t.names += ["outside", "inside"]
    if t.run(["unshare", "--user", "true"]).status != 0:
        raise Skip("passt can't run here: no user namespaces, as in a chroot")
    run_page(t, os.path.join(ROOT, GUIDE, "network.md"))
