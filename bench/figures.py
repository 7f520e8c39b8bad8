# SPDX-License-Identifier: Apache-2.0
"""What a part of the benchmarks reports: figures, each beside its floors and peers, and what was skipped."""
import dataclasses
import statistics
from typing import List, Optional


class Skip(Exception):
    """A part that can't be measured here; the text says why and what would change that."""


class Failed(Exception):
    """A part in which something did not work; the text says what."""


@dataclasses.dataclass
class Goal:
    """What a figure should be: at most ("<=") or at least (">=") so much; with `ratio`, so many times what stands beside it."""

    sign: str
    limit: float
    ratio: bool = False

    def met(self, amount):
        return amount <= self.limit if self.sign == "<=" else amount >= self.limit


def at_most(limit):
    return Goal("<=", limit)


def at_least(limit):
    return Goal(">=", limit)


def at_most_times(limit):
    return Goal("<=", limit, ratio=True)


def at_least_times(limit):
    return Goal(">=", limit, ratio=True)


@dataclasses.dataclass
class Beside:
    """A floor, a peer or another path of banger's, in the unit of its figure. A peer is another program that does the same."""

    label: str
    value: float
    samples: List[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Figure:
    """One amount of banger's. Units are "s", "ms", "us", "MiB", "KiB", "/s", "MB/s" or "" for a count. The first of `beside` is
    what the ratio is over, unless `ratio` is given: the median of ratios taken pair by pair, where both were measured in turns."""

    what: str
    value: float
    unit: str
    beside: List[Beside] = dataclasses.field(default_factory=list)
    goal: Optional[Goal] = None
    samples: List[float] = dataclasses.field(default_factory=list)
    ratio: Optional[float] = None
    note: str = ""

    def __post_init__(self):
        if self.ratio is None and self.beside and self.beside[0].value:
            self.ratio = self.value / self.beside[0].value

    def goal_text(self):
        """ "<= 1.05×" of what stands beside it, "<= 10 MiB" by itself; "" without a goal."""
        if self.goal is None:
            return ""
        return f"{self.goal.sign} " + (f"{number(self.goal.limit)}×" if self.goal.ratio else amount(self.goal.limit, self.unit))

    def met(self):
        """Whether the goal is; None without one, or where nothing stands beside it that it needs."""
        if self.goal is None or (self.goal.ratio and self.ratio is None):
            return None
        return self.goal.met(self.ratio if self.goal.ratio else self.value)


@dataclasses.dataclass
class Skipped:
    """A figure, or what should stand beside one, that is not there."""

    what: str
    why: str


def figure(what, samples, unit, beside=(), **more):
    """The median of samples."""
    return Figure(what, statistics.median(samples), unit, list(beside), samples=list(samples), **more)


def beside(label, samples):
    """The median of samples."""
    return Beside(label, statistics.median(samples), list(samples))


def number(value):
    """Three digits that count, thousands apart: 0.0123, 1.23, 12.3, 12,345."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0").rstrip(".")


def amount(value, unit):
    return f"{number(value)}{'' if unit.startswith('/') or not unit else ' '}{unit}"


def percentile(samples, share):
    """The value that this share of the samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclasses.dataclass
class Part:
    """What one part of the benchmarks said."""

    name: str
    title: str
    figures: List[Figure] = dataclasses.field(default_factory=list)
    skipped: List[Skipped] = dataclasses.field(default_factory=list)
    failed: str = ""
    seconds: float = 0.0
