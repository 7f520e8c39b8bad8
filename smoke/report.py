# SPDX-License-Identifier: Apache-2.0
"""The outcome of a smoke run as a table, as TAP and as JUnit XML."""

import xml.etree.ElementTree as ET


class Outcome:
    def __init__(self, scenario, state, seconds, message=""):
        self.scenario = scenario
        self.state = state  # "passed", "FAILED", "skipped"
        self.seconds = seconds
        self.message = message


def line(outcome):
    first = outcome.message.splitlines()[0] if outcome.message else ""
    return f"{outcome.state:8} {outcome.scenario.name:24} {outcome.seconds:6.1f} s  {first}".rstrip()


def counts(outcomes):
    return tuple(sum(o.state == state for o in outcomes) for state in ("passed", "FAILED", "skipped"))


def summary(outcomes):
    return "{} passed, {} failed, {} skipped".format(*counts(outcomes))


def write_tap(path, outcomes):
    with open(path, "w") as f:
        f.write(f"TAP version 13\n1..{len(outcomes)}\n")
        for i, o in enumerate(outcomes, 1):
            word = "not ok" if o.state == "FAILED" else "ok"
            skip = f" # SKIP {o.message}" if o.state == "skipped" else ""
            f.write(f"{word} {i} - {o.scenario.name}{skip}\n")
            if o.state == "FAILED":
                f.writelines(f"# {text}\n" for text in o.message.splitlines())


def write_junit(path, outcomes):
    passed, failed, skipped = counts(outcomes)
    suite = ET.Element("testsuite", name="smoke", tests=str(passed + failed + skipped), failures=str(failed),
                       skipped=str(skipped))
    for o in outcomes:
        case = ET.SubElement(suite, "testcase", name=o.scenario.name, classname=o.scenario.kind,
                             time=f"{o.seconds:.3f}")
        if o.state == "FAILED":
            ET.SubElement(case, "failure", message=o.message.splitlines()[0]).text = printable(o.message)
        elif o.state == "skipped":
            ET.SubElement(case, "skipped", message=o.message)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def printable(text):
    """XML can't hold most control characters, and guests write them."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
