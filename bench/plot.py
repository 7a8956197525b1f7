"""Draws the plots of docs/performance.md as SVG, on a ground of their own for light and dark pages."""

import math
from pathlib import Path
from xml.sax.saxutils import escape

# What is drawn is known by its shape as well as by its colour.
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #e4e8ec; fill: none }
.axis { stroke: #59636e; fill: none }
.ours { fill: #0969da; stroke: #0969da }
.other { fill: #bc4c00; stroke: #bc4c00 }
.third { fill: #6e7781; stroke: #6e7781 }
.line { fill: none; stroke-width: 2 }
.dash { stroke-dasharray: 5 4 }
.dots { stroke-dasharray: 1 4; stroke-linecap: round }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 }
.ground { fill: #0d1117; stroke: #3d444d } .grid { stroke: #262c34 } .axis { stroke: #9198a1 }
.ours { fill: #58a6ff; stroke: #58a6ff } .other { fill: #f0883e; stroke: #f0883e }
.third { fill: #b1bac4; stroke: #b1bac4 }
.line { fill: none }
}
"""
SERIES = [("ours", ""), ("other", "dash"), ("third", "dots")]


class Canvas:
    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = [f'<rect class="ground" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>']
        self.title = title

    def text(self, x, y, text, anchor="start", kind="", turned=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{turn}>{escape(text)}</text>'
        )

    def line(self, x1, y1, x2, y2, kind):
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def path(self, points, kind):
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline class="line {kind}" points="{way}"/>')

    def mark(self, x, y, series):
        kind = SERIES[series][0]
        if series == 0:
            self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        elif series == 1:
            self.parts.append(f'<rect class="{kind}" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>')
        else:
            self.parts.append(f'<path class="{kind}" d="M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z"/>')

    def write(self, path):
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">'
        )
        body = [head, f"<title>{escape(self.title)}</title>", f"<style>{STYLE}</style>", *self.parts, "</svg>"]
        Path(path).write_text("\n".join(body) + "\n")


class LogScale:
    def __init__(self, low, high, start, end):
        self.low, self.high, self.start, self.end = math.log(low), math.log(high), start, end

    def __call__(self, value):
        share = (math.log(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ratio_plot(path, title, axis, rows, target_label):
    """Dots for the ratios and triangles for the targets, a line per scenario. Rows are (name, ratio, target);
    None instead of a row leaves a gap."""
    left, right, top, step = 190, 60, 62, 17
    width, height = 760, top + step * len(rows) + 50
    values = [value for row in rows if row for value in row[1:] if value]
    low = min(values) / 1.3
    scale = LogScale(low, max(2, max(values) * 1.1), left, width - right)
    canvas = Canvas(width, height, title)
    bottom = height - 42
    canvas.text(16, 26, title, kind="title")
    canvas.mark(left, 43, 0)
    canvas.text(left + 9, 47, "measured", kind="small")
    canvas.mark(left + 90, 43, 2)
    canvas.text(left + 99, 47, target_label, kind="small")
    steps = (1, 2, 5) if low > 0.002 else (1,)  # a wide range has no room for more
    ticks = [10.0**k * m for k in range(math.floor(math.log10(low)), 3) for m in steps]
    for tick in (t for t in ticks if low <= t <= math.exp(scale.high)):
        x = scale(tick)
        one = abs(tick - 1) < 1e-9
        canvas.line(x, top - 8, x, bottom, "axis" if one else "grid")
        canvas.text(x, bottom + 15, f"{tick:g}", "middle", "small")
    canvas.text((left + width - right) / 2, height - 10, axis, "middle", "small")
    canvas.text(scale(1), top - 14, "hiredis 1.4.1", "middle", "small")
    for i, row in enumerate(rows):
        if not row:
            continue
        name, ratio, target = row
        y = top + step * i + step / 2
        canvas.line(left, y, width - right, y, "grid")
        canvas.text(left - 8, y + 4, name, "end")
        if target:
            canvas.mark(scale(target), y, 2)
        canvas.mark(scale(ratio), y, 0)
        canvas.text(width - right + 8, y + 4, f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:.2f}", kind="small")
    canvas.write(path)


def short_size(value):
    for unit, factor in (("Mi", 1 << 20), ("Ki", 1 << 10)):
        if value >= factor and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value / 1000:g}k" if value >= 1000 else f"{value}"


def growth_plot(path, title, x_axis, y_axis, series):
    """Cost against size, both logarithmic. A series is (label, sizes, costs)."""
    left, right, top, bottom_space = 92, 24, 74, 56
    width, height = 600, 360
    series = [(label, sizes[: len(costs)], costs) for label, sizes, costs in series if costs]
    costs = [cost for _, _, row in series for cost in row]
    sizes = sorted({size for _, row, _ in series for size in row})
    low, high = 10 ** math.floor(math.log10(min(costs) / 1.2)), 10 ** math.ceil(math.log10(max(costs) * 1.2))
    across = LogScale(sizes[0] / 1.2, sizes[-1] * 1.2, left, width - right)
    up = LogScale(low, high, height - bottom_space, top)
    canvas = Canvas(width, height, title)
    canvas.text(16, 26, title, kind="title")
    x = 24
    for i, (label, _, _) in enumerate(series):
        canvas.mark(x, 46, i)
        canvas.text(x + 9, 50, label, kind="small")
        x += 30 + 6.2 * len(label)
    decade = low
    while decade <= high * 1.001:
        y = up(decade)
        canvas.line(left, y, width - right, y, "grid")
        canvas.text(left - 8, y + 4, f"{decade:,g}", "end", "small")
        decade *= 10
    for size in sizes:
        x = across(size)
        canvas.line(x, top, x, height - bottom_space, "grid")
        canvas.text(x, height - bottom_space + 16, short_size(size), "middle", "small")
    canvas.line(left, height - bottom_space, width - right, height - bottom_space, "axis")
    canvas.line(left, top, left, height - bottom_space, "axis")
    canvas.text((left + width - right) / 2, height - 14, x_axis, "middle", "small")
    canvas.text(18, (top + height - bottom_space) / 2, y_axis, "middle", "small", turned=True)
    for i, (_, row_sizes, row_costs) in reversed(list(enumerate(series))):
        points = [(across(size), up(cost)) for size, cost in zip(row_sizes, row_costs)]
        canvas.path(points, " ".join(SERIES[i]).strip())
        for point in points:
            canvas.mark(*point, i)
    canvas.write(path)
