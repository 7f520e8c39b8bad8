# SPDX-License-Identifier: Apache-2.0
"""The report of bench/run: the same amounts in text, JSON and pictures, and nothing that leaves its picture."""
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import types
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, f"{ROOT}/bench")

import parts  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import runner  # noqa: E402
import server  # noqa: E402
from figures import (Beside, Figure, Part, Skip, Skipped, amount, at_least_times, at_most, at_most_times, figure,  # noqa: E402
                     number, percentile)

SVG = "{http://www.w3.org/2000/svg}"


def some_parts():
    quick = figure("boot | <cold>", [1.0, 1.1, 1.2], "s", [Beside("by hand & alone", 1.0)], goal=at_most_times(1.05))
    rate = Figure("GET", 3000, "/s", [Beside("nginx", 1000), Beside("another", 1500)], at_least_times(0.7))
    many = figure("exec", [5 + i % 17 / 10 for i in range(200)] + [90.0], "ms", [Beside("floor", 2.5)], goal=at_most(8))
    return [Part("boot", "Boots <quickly>", [quick], seconds=12.3),
            Part("api", "Requests", [rate, many], [Skipped("with a peer", "peer | is not installed")]),
            Part("broken", "Fails", failed="Failed: POST /vms: 500")]


class Figures(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(["0", "0.0123", "1.23", "12.3", "123", "12,346"],
                         [number(v) for v in (0, 0.0123, 1.234, 12.34, 123.4, 12345.6)])
        self.assertEqual("0.000012", number(0.0000123))
        self.assertEqual(["5/s", "5 ms", "5"], [amount(5, unit) for unit in ("/s", "ms", "")])

    def test_goals(self):
        peer = [Beside("peer", 10)]
        self.assertTrue(Figure("x", 10.4, "s", peer, at_most_times(1.05)).met())
        self.assertFalse(Figure("x", 10.6, "s", peer, at_most_times(1.05)).met())
        self.assertFalse(Figure("x", 6, "/s", peer, at_least_times(0.7)).met())
        self.assertTrue(Figure("x", 6, "MiB", peer, at_most(6)).met())
        self.assertIsNone(Figure("x", 6, "s", [], at_most_times(1)).met())
        self.assertIsNone(Figure("x", 6, "s", peer).met())
        # Pair by pair is another number than the medians' ratio.
        self.assertEqual(0.5, Figure("x", 6, "s", peer, ratio=0.5).ratio)

    def test_percentile(self):
        self.assertEqual((50, 99), (percentile(range(100), 0.5), percentile(range(100), 0.99)))

    def test_every_part_can_be_listed(self):
        for name in parts.ORDER:
            module = parts.load(name)
            self.assertTrue(module.__doc__.splitlines()[0].endswith("."), name)
            self.assertTrue(callable(module.measure), name)
        here = {name[:-3] for name in os.listdir(f"{ROOT}/bench/parts") if name.endswith(".py") and name != "__init__.py"}
        self.assertEqual(here, set(parts.ORDER))


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(f"{self.folder}/old.svg", "w", encoding="ascii") as f:
            f.write("of an earlier run")
        report.write_report(self.folder, {"processor": "2 × some"}, some_parts(), 5, 3.21)

    def read(self, name):
        with open(f"{self.folder}/{name}", encoding="utf-8") as f:
            return f.read()

    def test_markdown(self):
        text = self.read("report.md")
        self.assertIn("3 figures in 3 parts, 3.2 minutes. Goals: 2 met, 1 missed. Not measured: 1. **Failed: broken.**", text)
        self.assertIn("| boot \\| &lt;cold> | 1.1 s |  | 1 s: by hand & alone | 1.10 | <= 1.05× | **missed** |  |", text.replace("&lt;= ", "<= "))
        self.assertIn("| 1,000/s: nginx; 1,500/s: another | 3.00 | >= 0.7× | met |", text)
        self.assertIn("- not measured: with a peer: peer \\| is not installed", text)
        self.assertIn("Failed: POST /vms: 500", text)
        self.assertIn("| processor | 2 × some |", text)
        for line in text.splitlines():
            if line.startswith("!["):
                self.assertTrue(os.path.exists(f"{self.folder}/{line[line.index('](') + 2:-1]}"), line)
        self.assertEqual({"overview.svg", "boot.svg", "api.svg", "api-spread-1.svg"},
                         {name for name in os.listdir(self.folder) if name.endswith(".svg")})

    def test_json(self):
        said = json.loads(self.read("report.json"))
        self.assertEqual((5, {"processor": "2 × some"}), (said["rounds"], said["machine"]))
        boot, api, broken = said["parts"]
        self.assertEqual((1.1, False, [1.0, 1.1, 1.2]), tuple(boot["figures"][0][k] for k in ("value", "met", "samples")))
        self.assertEqual([1000, 1500], [b["value"] for b in api["figures"][0]["beside"]])
        self.assertEqual("peer | is not installed", api["skipped"][0]["why"])
        self.assertEqual("Failed: POST /vms: 500", broken["failed"])

    def test_bars_are_as_long_as_what_they_show(self):
        root = xml.etree.ElementTree.fromstring(self.read("api.svg"))
        long = {}
        for rect in root.iter(f"{SVG}rect"):
            title = rect.find(f"{SVG}title")
            if title is not None:
                long[title.text] = float(rect.get("width"))
        self.assertAlmostEqual(3, long["banger: 3,000/s"] / long["nginx: 1,000/s"], 1)
        self.assertAlmostEqual(1.5, long["another: 1,500/s"] / long["nginx: 1,000/s"], 1)

    def test_nothing_leaves_its_picture(self):
        for name in os.listdir(self.folder):
            if not name.endswith(".svg"):
                continue
            root = xml.etree.ElementTree.fromstring(self.read(name))
            wide, tall = float(root.get("width")), float(root.get("height"))
            for shape in root.iter():
                x = float(shape.get("x", shape.get("x1", shape.get("cx", 0))))
                y = float(shape.get("y", shape.get("y1", shape.get("cy", 0))))
                end = x + (float(shape.get("width")) if shape.tag == f"{SVG}rect" else 0)
                if shape.tag == f"{SVG}text":
                    room = plot.width_of(shape.text or "", float(shape.get("font-size")))
                    x -= {"start": 0, "middle": room / 2, "end": room}[shape.get("text-anchor")]
                    end = x + room
                self.assertTrue(0 <= x and end <= wide and 0 <= y <= tall, (name, shape.tag, shape.text, x, end, y))

    def test_amounts_of_nothing_and_less(self):
        odd = [Figure("growth", -0.07, "MiB", [Beside("before", -1.0)], at_most(4)), Figure("idle", 0.0, "s", [Beside("none", 0.0)], at_most(0)),
               figure("same", [0.0] * 50, "s", [Beside("none", 0.0)], goal=at_most_times(1))]
        report.write_report(self.folder, {}, [Part("odd", "Odd", odd)], 1, 1)
        self.assertIn("Goals: 2 met, 0 missed", self.read("report.md"))

    def test_terminal(self):
        text = report.terminal(some_parts())
        self.assertIn("MISSED", text)
        self.assertIn("FAILED: Failed: POST /vms: 500", text)


class Server:
    """As much of one as the runner needs."""

    resets = 0

    def reset(self):
        self.resets += 1


class Runner(unittest.TestCase):
    def run_with(self, measure, minutes=20, names=("fake",)):
        module = types.ModuleType("fake", "What it is.\n\nAnd more.")
        module.measure = measure
        fake = Server()
        with unittest.mock.patch.object(parts, "load", lambda name: module), contextlib.redirect_stderr(io.StringIO()):
            return fake, runner.run_all(fake, names, 3, minutes)

    def test_a_part_that_fails_keeps_what_it_has_and_takes_no_other_with_it(self):
        def measure(_server, rounds):
            yield Figure("first", rounds, "s")
            raise TypeError("a mistake of the part's own")
        fake, results = self.run_with(measure, names=("one", "two"))
        self.assertEqual(2, fake.resets)
        self.assertEqual([3, 3], [result.figures[0].value for result in results])
        self.assertEqual("TypeError: a mistake of the part's own", results[1].failed)
        self.assertEqual("What it is", results[0].title)

    def test_skips(self):
        def measure(_server, _rounds):
            yield Skipped("a peer", "is not installed")
            raise Skip("needs root")
        fake, (result,) = self.run_with(measure)
        self.assertEqual((0, ""), (fake.resets, result.failed))
        self.assertEqual([("a peer", "is not installed"), ("the whole part", "needs root")],
                         [(one.what, one.why) for one in result.skipped])

    def test_no_part_begins_when_the_time_is_over(self):
        def measure(_server, _rounds):
            yield Figure("never", 1, "s")
        _, (result,) = self.run_with(measure, minutes=-1)
        self.assertEqual([], result.figures)
        self.assertIn("--minutes", result.skipped[0].why)


class Reply:
    status = 200

    def read(self):
        return b"{}"


class Wire:
    """A connection that was closed by the other side when nobody used it."""

    def __init__(self, broken):
        self.broken = broken

    def close(self):
        self.broken = False

    def request(self, *_):
        if self.broken:
            raise BrokenPipeError

    def getresponse(self):
        return Reply()


class Calls(unittest.TestCase):
    def call_after(self, seconds):
        one = server.Server.__new__(server.Server)
        one.connection, one.used = Wire(broken=seconds > 60), time.monotonic() - seconds
        self.assertEqual({}, one.call("GET", "/version"))
        self.assertLess(time.monotonic() - one.used, 5)

    def test_a_connection_that_was_idle_is_made_anew(self):
        self.call_after(0)
        self.call_after(600)


class Histogram(unittest.TestCase):
    def test_all_samples_are_in_it(self):
        samples = [1.0] * 50 + [2.0] * 49 + [1000.0]
        scale = plot.Scale([samples])
        (shares,) = plot.histogram([samples], scale, bins=10)
        self.assertAlmostEqual(1, sum(shares))
        self.assertAlmostEqual(0.5, shares[0])

    def test_a_long_tail_is_shown_by_factors(self):
        scale = plot.Scale([[1.0] * 90 + [100.0] * 10])
        self.assertTrue(scale.log)
        self.assertEqual((0, 0.5, 1, 1), tuple(round(scale.at(v), 6) for v in (1, 10, 100, 1e6)))
        self.assertEqual([1, 2, 5, 10, 20, 50, 100], scale.steps())
        self.assertFalse(plot.Scale([[10.0, 11.0, 12.0]]).log)
        self.assertEqual(0.5, plot.Scale([[0.0, 10.0]]).at(5))

    def test_samples_that_are_all_the_same(self):
        self.assertEqual(0, plot.Scale([[3.0] * 50]).at(3))

    def test_steps_are_round(self):
        self.assertEqual([0, 20, 40, 60, 80, 100], plot.nice_steps(0, 100))


if __name__ == "__main__":
    unittest.main()
