# SPDX-License-Identifier: Apache-2.0
"""docs/examples: the commands in the CI job files do what is written, for tests that pass and for tests that fail."""
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from harness import SERVER, LifeTest

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "examples")
CLI = os.path.abspath(os.path.join(os.path.dirname(SERVER), "..", "cli"))
# What a runner brings of itself; every other action would be a command that nobody has tried.
ACTIONS = re.compile(r"actions/(checkout|upload-artifact)@v[0-9]+$")


def load(name):
    with open(f"{EXAMPLES}/{name}", encoding="utf-8") as f:
        return yaml.load(f, Loader=yaml.BaseLoader)


def cells(matrix):
    return [dict(zip(matrix, values)) for values in itertools.product(*matrix.values())]


class Examples(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def checkout(self):
        folder = tempfile.mkdtemp(prefix="bgx-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(f"{EXAMPLES}/project", folder, dirs_exist_ok=True)
        return folder

    def shell(self, script, folder, env):
        """As a runner does it."""
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PATH": f"{CLI}:{os.environ['PATH']}", "BANGER_SERVER": self.server.socket,
                                   "CI": "true", **env})
        return done.returncode, done.stdout + done.stderr

    def nothing_left(self, runs, state):
        self.assert_nothing_left()
        items = self.server.must(200, "GET", "/runs?limit=1000")["items"]
        self.assertEqual([state] * runs, [r["state"] for r in items])
        return items

    # --- GitHub Actions ---

    def actions_job(self, job, cell, env):
        """Each step's (name, exit code, output); after a failure only what says `always()`."""
        folder, done, failed = self.checkout(), [], False
        known = {"github.repository": "example/project", "github.run_id": "42", **{f"matrix.{k}": v for k, v in cell.items()}}
        env = {**env, "GITHUB_STEP_SUMMARY": f"{folder}/summary"}
        for step in job["steps"]:
            if failed and step.get("if") != "always()":
                continue
            if "uses" in step:
                self.assertRegex(step["uses"], ACTIONS)
                if "upload" in step["uses"]:
                    self.assertTrue(os.path.exists(f"{folder}/{step['with']['path']}"), step)
                continue
            script = re.sub(r"\$\{\{ *([a-z_.]+) *\}\}", lambda m: known[m[1]], step["run"])
            code, output = self.shell(script, folder, env)
            done.append((step["name"], code, output))
            failed = failed or code != 0
        with open(env["GITHUB_STEP_SUMMARY"], encoding="utf-8") as f:
            return done, f.read()

    def test_github_actions(self):
        job = load("github-actions.yml")["jobs"]["test"]
        for cell in cells(job["strategy"]["matrix"]):
            steps, summary = self.actions_job(job, cell, {})
            self.assertEqual([("Tests in a VM", 0), ("Reports", 0)], [s[:2] for s in steps], steps)
            self.assertIn("tested on", steps[0][2])
            self.assertIn('failures="0"', summary)
        items = self.nothing_left(4, "succeeded")
        self.assertEqual("example/project", items[0]["labels"]["queue"])

    def test_github_actions_failing(self):
        steps, summary = self.actions_job(load("github-actions.yml")["jobs"]["test"], {"memory": "128M", "locale": "C"}, {"FAIL": "3"})
        self.assertEqual([("Tests in a VM", 3), ("Reports", 0)], [s[:2] for s in steps], steps)
        self.assertIn('failures="3"', summary)
        self.nothing_left(1, "failed")

    # --- GitLab CI ---

    def gitlab_job(self, document, cell, env):
        job, folder = document["test"], self.checkout()
        env = {**document["variables"], **cell, "CI_PROJECT_PATH_SLUG": "example-project", "CI_PIPELINE_ID": "42", **env}
        main = self.shell("\n".join(job["before_script"] + job["script"]), folder, env)
        after = self.shell("\n".join(job["after_script"]), folder, env)
        self.assertEqual(0, after[0], after)
        for path in job["artifacts"]["paths"] + [job["artifacts"]["reports"]["junit"]]:
            self.assertTrue(os.path.exists(f"{folder}/{path}"), path)
        return main

    def test_gitlab(self):
        document = load("gitlab-ci.yml")
        self.assertIn(document["test"]["stage"], document["stages"])
        for cell in (c for m in document["test"]["parallel"]["matrix"] for c in cells(m)):
            code, output = self.gitlab_job(document, cell, {})
            self.assertEqual(0, code, output)
            self.assertIn("tested on", output)
        self.nothing_left(4, "succeeded")

    def test_gitlab_failing(self):
        code, output = self.gitlab_job(load("gitlab-ci.yml"), {"MEMORY": "128M", "LOCALE": "C"}, {"FAIL": "3"})
        self.assertEqual(3, code, output)
        self.nothing_left(1, "failed")
        # The code that is tried again there.
        folder = self.checkout()
        self.assertIn("125", load("gitlab-ci.yml")["test"]["retry"]["exit_codes"])
        script = load("gitlab-ci.yml")["test"]["script"][0]
        code, output = self.shell(script, folder, {"BANGER_IMAGE": "absent", "MEMORY": "128M", "LOCALE": "C", "CI_PIPELINE_ID": "1",
                                                   "CI_PROJECT_PATH_SLUG": "x"})
        self.assertEqual(125, code, output)

    # --- shell ---

    def test_step(self):
        folder = self.checkout()
        code, output = self.shell(f"{os.path.abspath(EXAMPLES)}/step.sh", folder, {"CI_JOB_ID": "7"})
        self.assertEqual(0, code, output)
        self.assertIn("tested on", output)
        self.assertIn("unit.xml: 2 tests, 0 failed", output)
        self.assertTrue(os.path.exists(f"{folder}/unit.xml"))
        code, output = self.shell(f"{os.path.abspath(EXAMPLES)}/step.sh", folder, {"FAIL": "3"})
        self.assertEqual(3, code, output)
        code, output = self.shell(f"{os.path.abspath(EXAMPLES)}/step.sh 'kill -9 $$'", folder, {})
        self.assertEqual(125, code, output)
        self.assert_nothing_left()

    def test_matrix(self):
        folder = self.checkout()
        code, output = self.shell(f"{os.path.abspath(EXAMPLES)}/matrix.sh", folder, {"CI_PIPELINE_ID": "7"})
        self.assertEqual(0, code, output)
        self.assertEqual([["128", "C"], ["128", "de"], ["256", "C"], ["256", "de"]], [r.split("\t")[:2] for r in output.splitlines()])
        self.nothing_left(4, "succeeded")
        code, output = self.shell(f"{os.path.abspath(EXAMPLES)}/matrix.sh", folder, {"FAIL": "3", "CI_PIPELINE_ID": "8"})
        self.assertEqual((1, 4), (code, output.count("failed\t3")), output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
