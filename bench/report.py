# SPDX-License-Identifier: Apache-2.0
"""One folder that says everything of a run: report.md for people, report.json for programs, and the pictures."""
import dataclasses
import json
import os

import plot
from figures import amount

# From so many samples on, how they are spread says more than their median.
MANY = 40


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(word) for word in row) + " |" for row in rows]


def figure_row(one):
    there = "; ".join(f"{amount(b.value, one.unit)}: {b.label}" for b in one.beside)
    mark = {True: "met", False: "**missed**", None: ""}[one.met()]
    return (one.what, amount(one.value, one.unit), plot.spread(one.samples), there, f"{one.ratio:.2f}" if one.ratio else "",
            one.goal_text(), mark, one.note)


def write(folder, name, text):
    with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
        f.write(text)


def pictures(folder, part):
    """Writes those of one part; (file, what it shows) of each."""
    made = []
    beside = [one for one in part.figures if one.beside]
    if beside:
        made.append((f"{part.name}.svg", f"{part.name}: beside its floor or peer"))
        write(folder, made[-1][0], plot.bars(part.name, part.title, beside))
    for one in part.figures:
        if len(one.samples) >= MANY:
            made.append((f"{part.name}-spread-{len(made)}.svg", f"{one.what}: how the samples are spread"))
            write(folder, made[-1][0], plot.distribution(one))
    return made


def summary(parts, minutes):
    verdicts = [one.met() for part in parts for one in part.figures]
    failed = [part.name for part in parts if part.failed]
    text = (f"{len(verdicts)} figures in {len(parts)} parts, {minutes:.1f} minutes. "
            f"Goals: {verdicts.count(True)} met, {verdicts.count(False)} missed. "
            f"Not measured: {sum(len(part.skipped) for part in parts)}.")
    return text + (f" **Failed: {', '.join(failed)}.**" if failed else "")


def markdown(folder, facts, parts, rounds, minutes):
    lines = ["# banger beside its floors and peers", "", summary(parts, minutes), "",
             f"Amounts are medians of {rounds} rounds or more. A ratio is banger's amount over the first one beside it: below 1 is "
             "quicker or smaller, except for rates (`/s`), where more is better. `docs/benchmarks.md` says what each part does and "
             "what is not claimed.", ""]
    if any(one.met() is not None for part in parts for one in part.figures):
        write(folder, "overview.svg", plot.overview(parts))
        lines += ["![each figure and its goal](overview.svg)", ""]
    for part in parts:
        lines += [f"## {part.name}", "", f"{part.title}. {part.seconds:.0f} s.", ""]
        if part.failed:
            lines += [f"**Failed**, what follows is not all: {cell(part.failed)}", ""]
        if part.figures:
            lines += table(("what", "banger", "middle half", "beside it", "ratio", "goal", "", "note"),
                           [figure_row(one) for one in part.figures]) + [""]
        lines += [f"- not measured: {cell(one.what)}: {cell(one.why)}" for one in part.skipped] + ([""] if part.skipped else [])
        for file, what in pictures(folder, part):
            lines += [f"![{cell(what)}]({file})", ""]
    lines += ["## The machine", ""] + table(("", ""), facts.items()) + [""]
    return "\n".join(lines)


def as_json(facts, parts, rounds, minutes):
    def of_figure(one):
        return {**dataclasses.asdict(one), "met": one.met()}
    return {"format": 1, "machine": facts, "rounds": rounds, "minutes": round(minutes, 2),
            "parts": [{**dataclasses.asdict(part), "figures": [of_figure(one) for one in part.figures]} for part in parts]}


def write_report(folder, facts, parts, rounds, minutes):
    """Makes the folder; files of an earlier report in it are replaced or removed."""
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".svg"):
            os.unlink(f"{folder}/{name}")
    write(folder, "report.json", json.dumps(as_json(facts, parts, rounds, minutes), indent=2, ensure_ascii=False) + "\n")
    write(folder, "report.md", markdown(folder, facts, parts, rounds, minutes))


def terminal(parts):
    """The same for a terminal, one line a figure."""
    lines = []
    for part in parts:
        lines.append(part.name)
        for one in part.figures:
            there = "; ".join(f"{amount(b.value, one.unit)} {b.label}" for b in one.beside)
            mark = {True: "met", False: "MISSED", None: ""}[one.met()]
            lines.append(f"  {one.what:52.52} {amount(one.value, one.unit):>12}  {f'{one.ratio:.2f}×' if one.ratio else '':>7}  "
                         f"{one.goal_text():14} {mark:6}  {there}".rstrip())
        lines += [f"  not measured: {one.what}: {one.why}" for one in part.skipped]
        if part.failed:
            lines.append(f"  FAILED: {part.failed}")
    return "\n".join(lines)
