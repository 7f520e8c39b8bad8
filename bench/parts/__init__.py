# SPDX-License-Identifier: Apache-2.0
"""The parts of the benchmarks, one module each, in the order in which they run.

To add one: a module here whose docstring's first line says what it measures, with `measure(server, rounds)`, a generator that
yields `Figure` and `Skipped` (figures.py) as it goes; and its name in ORDER. It raises `Skip` where it can't be measured at all.
It leaves no VM behind, and it takes at most a minute or two with five rounds: all parts together have 20.
"""
import importlib

ORDER = ("boot", "libvirt", "clone", "clones20", "container", "exec", "ssh", "fork", "suspend", "transfer", "helper", "memory",
         "scale", "verbs", "api", "pull")


def load(name):
    return importlib.import_module(f"parts.{name}")
