# SPDX-License-Identifier: Apache-2.0
"""Runs parts one after the other: none takes another with it, and none begins when the time is over."""
import sys
import time

import parts
from figures import Part, Skip, Skipped


def run_part(server, name, rounds):
    """What it yields until it ends or fails."""
    module = parts.load(name)
    result, begun = Part(name, module.__doc__.splitlines()[0].rstrip(".")), time.monotonic()
    try:
        for one in module.measure(server, rounds):
            (result.skipped if isinstance(one, Skipped) else result.figures).append(one)
    except Skip as why:
        result.skipped.append(Skipped("the whole part", str(why)))
    except Exception as why:  # whatever it is, the other parts are measured and the report is written
        result.failed = f"{type(why).__name__}: {why}"
        server.reset()
    result.seconds = time.monotonic() - begun
    return result


def run_all(server, names, rounds, minutes):
    """A part of the result for each name; those whose turn would come too late are skipped."""
    end = time.monotonic() + 60 * minutes
    results = []
    for name in names:
        if time.monotonic() > end:
            why = f"the {minutes} minutes of the run were over (--minutes)"
            results.append(Part(name, parts.load(name).__doc__.splitlines()[0].rstrip("."), skipped=[Skipped("the whole part", why)]))
            continue
        print(f"{name} …", file=sys.stderr)
        results.append(run_part(server, name, rounds))
    return results
