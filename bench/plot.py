# SPDX-License-Identifier: Apache-2.0
"""Small SVG pictures of figures: bars beside their floors and peers, distributions, and how far each is from its goal.

Each function returns the text of one picture that needs nothing else: no font, no script, no style sheet.
"""
import math
import statistics
import textwrap
from xml.sax.saxutils import escape

from figures import amount, number, percentile

WIDTH, PAD = 760, 24
# Mean width of a character, of the font size.
EM = 0.56
INK, SOFT, RULE, PAPER = "#0f172a", "#64748b", "#e2e8f0", "#ffffff"
OURS, GOAL, GOOD, BAD = "#2563eb", "#d97706", "#16a34a", "#dc2626"
OTHERS = ("#94a3b8", "#b6a6d6", "#9ac5b0", "#d8b48f")
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""


def width_of(text, size):
    """About; digits and small letters of common sans-serif fonts are a little narrower."""
    return len(text) * size * EM


def fit(text, size, room):
    """Cut where it would leave its room."""
    if width_of(text, size) <= room:
        return text
    return text[:max(1, int(room / (size * EM)) - 1)].rstrip() + "…"


class Picture:
    """Shapes from top to bottom; as tall as what was put in."""

    def __init__(self, title, subtitle=""):
        self.parts, self.y = [], PAD + 16
        self.title = title
        self.text(PAD, self.y, fit(title, 16, WIDTH - 2 * PAD), 16, weight=600)
        if subtitle:
            for line in textwrap.wrap(subtitle, int((WIDTH - 2 * PAD) / (12 * EM))):
                self.y += 18
                self.text(PAD, self.y, line, 12, SOFT)
        self.y += 14

    def text(self, x, y, text, size=12, colour=INK, anchor="start", weight=400):
        # With a rim, so that it can be read where a line crosses it.
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
                          f'font-weight="{weight}" stroke="{PAPER}" stroke-width="4" stroke-linejoin="round" '
                          f'paint-order="stroke">{escape(text)}</text>')

    def rect(self, x, y, width, height, colour, radius=3, opacity=1.0, name=""):
        title = f"<title>{escape(name)}</title>" if name else ""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="{radius}" '
                          f'fill="{colour}" fill-opacity="{opacity}">{title}</rect>')

    def line(self, x1, y1, x2, y2, colour=RULE, width=1.0, dash=""):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')

    def dot(self, x, y, radius, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def svg(self):
        height = self.y + PAD
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
                f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" {FONT}>\n<title>{escape(self.title)}</title>\n'
                f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10" fill="{PAPER}" stroke="{RULE}"/>\n'
                + "\n".join(self.parts) + "\n</svg>\n")


def goal_value(one):
    """Where the goal lies on the figure's own scale; None: no goal, or nothing to take it of."""
    if one.goal is None:
        return None
    if not one.goal.ratio:
        return one.goal.limit
    return one.goal.limit * one.beside[0].value if one.beside else None


def verdict(one):
    met = one.met()
    return "" if met is None else f"goal {one.goal_text()}: {'met' if met else 'missed'}"


def bars(title, subtitle, figures):
    """A group of bars for each figure, on a scale of its own: units differ."""
    picture = Picture(title, subtitle)
    left, right = 330, WIDTH - PAD - 84
    for one in figures:
        picture.y += 14
        picture.text(PAD, picture.y, fit(one.what, 13, 480), 13, weight=600)
        picture.text(WIDTH - PAD, picture.y, verdict(one), 11, {True: GOOD, False: BAD, None: SOFT}[one.met()], "end")
        picture.y += 8
        goal = goal_value(one)
        rows = [("banger", one.value, OURS)] + [(b.label, b.value, OTHERS[i % len(OTHERS)]) for i, b in enumerate(one.beside)]
        top = max(0, *(value for _, value, _ in rows)) or 1
        # A goal far away would leave the bars no room.
        if goal and goal <= 3 * top:
            top = max(top, goal)
        if goal and goal <= top:
            x = left + (right - left) * goal / top
            picture.line(x, picture.y - 3, x, picture.y + 21 * len(rows) - 2, GOAL, 1.5, "4 3")
        for label, value, colour in rows:
            long = (right - left) * value / top
            picture.text(left - 10, picture.y + 12, fit(label, 12, left - PAD - 14), 12, INK if colour == OURS else SOFT, "end")
            picture.rect(left, picture.y, long, 16, colour, name=f"{label}: {amount(value, one.unit)}")
            picture.text(left + max(long, 1) + 6, picture.y + 12, amount(value, one.unit), 12, INK, weight=600 if colour == OURS else 400)
            picture.y += 21
        picture.y += 8
    return picture.svg()


def nice_steps(low, high, count=6):
    """Round numbers between."""
    raw = (high - low) / count or 1
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.ceil(low / step)
    return [k * step for k in range(first, int(high / step) + 1)]


class Scale:
    """From amounts to 0 … 1; by factors where the slow ones are many times slower than the usual ones."""

    def __init__(self, series):
        self.high = max(percentile(values, 0.99) for values in series)
        self.low = min(percentile(values, 0.01) for values in series)
        usual = min(statistics.median(values) for values in series)
        self.log = self.low > 0 and self.high > 6 * usual
        if not self.log and self.low < 0.4 * self.high:
            self.low = 0.0
        if self.high <= self.low:
            self.high = self.low + (abs(self.low) or 1)

    def at(self, value):
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def steps(self):
        if not self.log:
            return nice_steps(self.low, self.high)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [m * 10.0 ** power for power in powers for m in (1, 2, 5) if self.low <= m * 10.0 ** power <= self.high]
        return found if len(found) <= 9 else [value for value in found if f"{value:e}".startswith("1.")]


def histogram(series, scale, bins=48):
    """For each of the series, the share of it in each bin; what lies outside of the scale is in the first or last one."""
    shares = []
    for values in series:
        counts = [0] * bins
        for value in values:
            counts[min(bins - 1, int(scale.at(value) * bins))] += 1
        shares.append([count / len(values) for count in counts])
    return shares


def marks_above(picture, one, at, top, bottom):
    """The percentiles and what stands beside, each on the first line where it has room."""
    marks = [(f"p{share * 100:.0f} {amount(value, one.unit)}", value, OURS)
             for share, value in ((share, percentile(one.samples, share)) for share in (0.5, 0.9, 0.99))]
    marks += [(f"{b.label}: {amount(b.value, one.unit)}", b.value, SOFT) for b in one.beside][:1]
    ends = [0.0] * len(marks)
    for label, value, colour in sorted(marks, key=lambda mark: mark[1]):
        label = fit(label, 11, 330)
        x, room = at(value), width_of(label, 11)
        begin = min(max(PAD, x - room / 2), WIDTH - PAD - room)
        level = next((i for i, end in enumerate(ends) if begin >= end), 0)
        ends[level] = begin + room + 8
        picture.line(x, top - 4 - 14 * level, x, bottom, colour, 1.2, "2 3")
        picture.text(begin, top - 7 - 14 * level, label, 11, colour, weight=600)


def distribution(one):
    """Of the figure's samples, with its median, 90th and 99th percentile, and what stands beside it."""
    full = [b for b in one.beside if len(b.samples) >= 20]
    series = [one.samples] + [b.samples for b in full]
    scale = Scale(series)
    picture = Picture(one.what, f"{len(one.samples)} samples of banger (blue)"
                      + "".join(f", {len(b.samples)} of {b.label} (grey)" for b in full[:1])
                      + "; the last bar holds what took longer" + ("; logarithmic" if scale.log else ""))
    left, right, top, height = PAD + 8, WIDTH - PAD - 8, picture.y + 58, 170
    bottom = top + height

    def at(value):
        return left + (right - left) * scale.at(value)
    for step in scale.steps():
        picture.line(at(step), top, at(step), bottom + 4)
        picture.text(at(step), bottom + 18, amount(step, one.unit), 11, SOFT, "middle")
    shares = histogram(series[:2], scale)
    tallest = max(max(share) for share in shares)
    wide = (right - left) / len(shares[0])
    for index in reversed(range(len(shares))):
        for i, share in enumerate(shares[index]):
            if share:
                tall = height * share / tallest
                picture.rect(left + i * wide + 0.5, bottom - tall, wide - 1, tall, OURS if index == 0 else OTHERS[0], 1,
                             0.8 if index == 0 else 0.6)
    picture.line(left, bottom, right, bottom, SOFT)
    marks_above(picture, one, at, top, bottom)
    picture.y = bottom + 22
    return picture.svg()


def towards_goal(one):
    """1 is the goal, less is better than it; on either side of it by the same factor whichever way the goal points."""
    got = one.ratio if one.goal.ratio else one.value
    if one.goal.limit <= 0 or got <= 0:
        return 0.1 if one.goal.met(got) else 10.0
    return got / one.goal.limit if one.goal.sign == "<=" else one.goal.limit / got


def overview(parts):
    """One line a figure that has a goal: left of the middle it is met, each step is a factor of two."""
    picture = Picture("Each figure and its goal", "left of the line: better than the goal, by so many times; right of it: missed")
    left, right, reach = 400, WIDTH - PAD - 66, 3
    middle, rows = (left + right) / 2, [(p.name, one) for p in parts for one in p.figures if one.met() is not None]
    picture.y += 8
    top = picture.y
    height = 20 * len(rows) + 6
    picture.rect(left, top, middle - left, height, "#f0fdf4", 0)
    picture.rect(middle, top, right - middle, height, "#fef2f2", 0)
    for step in range(-reach, reach + 1):
        x = middle + (right - left) / 2 * step / reach
        picture.line(x, top, x, top + height, SOFT if step == 0 else RULE, 1.2 if step == 0 else 1)
        picture.text(x, top + height + 16, "goal" if step == 0 else (f"{2 ** -step}×" if step < 0 else f"1/{2 ** step}"), 11, SOFT, "middle")
    last = None
    for name, one in rows:
        picture.y += 20
        off = max(-reach, min(reach, math.log2(towards_goal(one))))
        x = middle + (right - left) / 2 * off / reach
        colour = GOOD if one.met() else BAD
        picture.text(PAD, picture.y - 3, name if name != last else "", 11, SOFT, weight=600)
        picture.text(left - 10, picture.y - 3, fit(one.what, 12, left - PAD - 70), 12, INK, "end")
        picture.line(middle, picture.y - 7, x, picture.y - 7, colour, 2)
        picture.dot(x, picture.y - 7, 4.5, colour)
        said = f"{one.ratio:.2f}×" if one.goal.ratio else amount(one.value, one.unit)
        picture.text(WIDTH - PAD + 6, picture.y - 3, said, 11, colour, "end", 600)
        last = name
    picture.y = top + height + 18
    return picture.svg()


def spread(samples):
    """Median and the middle half, for a table."""
    if len(samples) < 4:
        return ""
    quarters = statistics.quantiles(samples, n=4)
    return f"{number(quarters[0])} – {number(quarters[2])}"
