# SPDX-License-Identifier: Apache-2.0
"""usage: coverage.py collect BUILD OUT.json | coverage.py table RUN.json…

collect: which lines of ours ran, from gcov's counts. table: lines run by folder, a column for each run.
A line that is compiled into several programs counts once, as run when one of them ran it.
"""
import collections
import concurrent.futures
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = ("agent/", "cli/", "helper/", "lib/", "server/")


def gcov(notes):
    """File -> {line: ran}, of one object."""
    out = subprocess.run(["gcov", "--json-format", "--stdout", notes], capture_output=True, check=False,
                         cwd=os.path.dirname(notes)).stdout
    found = {}
    for text in out.splitlines():
        document = json.loads(text)
        for file in document["files"]:
            path = os.path.relpath(os.path.join(document["current_working_directory"], file["file"]), ROOT)
            if path.startswith(OURS):
                lines = found.setdefault(path, {})
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] = lines.get(number, False) or line["count"] > 0
    return found


def collect(build):
    notes = [os.path.abspath(os.path.join(folder, name)) for folder, _, files in os.walk(build) for name in files
             if name.endswith(".gcno")]
    merged = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(gcov, notes):
            for path, lines in found.items():
                for number, ran in lines.items():
                    merged[path][number] = merged[path].get(number, False) or ran
    return merged


def folder_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def table(paths):
    runs = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            runs.append(json.load(f))
    names = [os.path.splitext(os.path.basename(p))[0] for p in paths]
    totals = collections.defaultdict(lambda: [[0, 0] for _ in runs])
    for i, run in enumerate(runs):
        for path, lines in run.items():
            for folder in (folder_of(path), "**all**"):
                totals[folder][i][0] += sum(lines.values())
                totals[folder][i][1] += len(lines)
    print("| folder | lines |", " | ".join(names), "|")
    print("|---|--:|" + "--:|" * len(names))
    for folder in sorted(totals, key=lambda f: (f == "**all**", f)):
        cells = [f"{100 * ran / count:.0f} %" if count else "" for ran, count in totals[folder]]
        print(f"| {folder} | {max(count for _, count in totals[folder])} |", " | ".join(cells), "|")


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "collect":
        with open(sys.argv[3], "w", encoding="utf-8") as f:
            json.dump(collect(sys.argv[2]), f)
    elif len(sys.argv) > 2 and sys.argv[1] == "table":
        table(sys.argv[2:])
    else:
        sys.exit(__doc__)


main()
