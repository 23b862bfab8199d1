"""Draws the panels of docs/grafana/gocdnext.json from a Prometheus: `./dev pictures` runs it.

usage: render.py PROMETHEUS_URL MINUTES

The queries, the titles, the units and the layout are the dashboard's own; the drawing is ours, since Grafana is not needed
for it. Writes dashboard.png (the rows up to "Who uses it") and pipeline.png (the rest) beside itself.
"""

import json
import math
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, NullLocator

HERE = Path(__file__).parent
DASHBOARD = HERE.parent / "grafana" / "gocdnext.json"
LAST_ROW_OF_THE_FIRST = "Who uses it"
POINTS = 200
# colours that stay apart for most eyes
PALETTE = ["#3274d9", "#e0782f", "#4a9c46", "#b5459f", "#8f7b2b", "#2fa3a8", "#c4453c", "#6a5acd", "#7f8c8d", "#a0522d"]
NAMED = {"green": "#4a9c46", "red": "#c4453c", "orange": "#e0782f", "blue": "#3274d9", "purple": "#8353b5"}
DAY = 86_400
# seconds between ticks
STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, DAY, 7 * DAY, 30 * DAY, 100 * DAY, 365 * DAY]
INK, FAINT, GRID = "#24292e", "#8b949e", "#e4e7ea"


class Prometheus:
    """What a Prometheus answers over the last minutes."""

    def __init__(self, url, minutes):
        self.url = url
        self.end = time.time()
        self.begin = self.end - minutes * 60
        self.step = max(2, minutes * 60 / POINTS)
        self.variables = {"$__rate_interval": "30s", "$__range": f"{round(minutes * 60)}s", "$project": ".*"}

    def ask(self, path, expression, **more):
        for name, value in self.variables.items():
            expression = expression.replace(name, value)
        query = urllib.parse.urlencode({"query": expression, **more})
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def over_time(self, target):
        """Name, times and values of each series; gaps are left out."""
        series = self.ask("query_range", target["expr"], start=self.begin, end=self.end, step=self.step)
        for one in series:
            points = [(when, float(value)) for when, value in one["values"] if value != "NaN"]
            if points:
                yield name(target, one["metric"]), *zip(*points)

    def now(self, target):
        """Name and value of each series."""
        return [(name(target, one["metric"]), float(one["value"][1])) for one in self.ask("query", target["expr"])]


def name(target, labels):
    legend = target["legendFormat"]
    for label, value in labels.items():
        legend = legend.replace("{{" + label + "}}", value)
    return legend


def shown(value, unit):
    """A value as people read it."""
    if unit == "s":
        for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {word}"
        return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{value * 1000:.3g} ms"
    if unit == "bytes":
        power = min(4, int(math.log(max(value, 1), 1024)))
        return f"{value / 1024**power:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    text = f"{value / 1000:.3g}k" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{text}/s" if unit == "ops" else text


def unit_of(panel):
    return panel["fieldConfig"]["defaults"]["unit"]


def colours(panel, names):
    fixed = {}
    for override in panel["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if one["id"] == "color":
                fixed[override["matcher"]["options"]] = NAMED[one["value"]["fixedColor"]]
    return [fixed.get(series, PALETTE[index % len(PALETTE)]) for index, series in enumerate(names)]


def empty(axes):
    axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=FAINT)
    axes.axis("off")


def clock(axes, prometheus):
    axes.set_xlim(prometheus.begin / DAY, prometheus.end / DAY)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))


def scale(axes, unit, log):
    """Ticks at values that people would choose."""
    top = axes.get_ylim()[1]
    if log:
        axes.yaxis.set_major_locator(FixedLocator([0.1, 1, 10, 60, 600, 3600, 10 * 3600, 10 * DAY, 100 * DAY]))
        axes.yaxis.set_minor_locator(NullLocator())
    elif unit == "s" and top > 12:
        axes.yaxis.set_major_locator(MultipleLocator(next((step for step in STEPS if top / step <= 4.5), STEPS[-1])))
    elif unit == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(top / 4))))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=unit == "short" and top > 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))


def days(seconds):
    return [at / DAY for at in seconds]


def stat(axes, panel, prometheus):
    """One number, coloured by the panel's thresholds, over its own course."""
    series = list(prometheus.over_time(panel["targets"][0]))
    if not series:
        return empty(axes)
    _, times, values = series[0]
    colour = INK
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or values[-1] >= step["value"]:
            colour = NAMED[step["color"]]
    axes.fill_between(days(times), values, color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(0, max(max(values) * 2.2, 1))
    axes.text(0.5, 0.52, shown(values[-1], unit_of(panel)), transform=axes.transAxes, ha="center", va="center", fontsize=24, color=colour)
    axes.axis("off")


def timeseries(axes, panel, prometheus):
    series = [one for target in panel["targets"] for one in prometheus.over_time(target)]
    if not series:
        return empty(axes)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    names = [one[0] for one in series]
    chosen = colours(panel, names)
    if custom["stacking"]["mode"] == "normal":
        times = sorted({at for _, moments, _ in series for at in moments})
        rows = [[dict(zip(moments, values)).get(at, 0) for at in times] for _, moments, values in series]
        axes.stackplot(days(times), rows, labels=names, colors=chosen, alpha=0.75, linewidth=0)
    else:
        for (label, times, values), colour in zip(series, chosen):
            dashed = label.startswith("objective")
            axes.plot(days(times), values, label=label, color=colour, linewidth=1.4, linestyle="--" if dashed else "-")
            if custom["drawStyle"] == "bars" or len(series) == 1:
                axes.fill_between(days(times), values, color=colour, alpha=0.15, linewidth=0)
    log = custom.get("scaleDistribution", {}).get("type") == "log"
    if log:
        axes.set_yscale("log")
    elif panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)
        axes.set_ylim(top=max(axes.get_ylim()[1], 1e-3 if unit_of(panel) == "s" else 1 if unit_of(panel) == "short" else 0.01))
    scale(axes, unit_of(panel), log)
    clock(axes, prometheus)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    # two rows have room, and Grafana's would scroll: those that show anything come first
    high = {label: max(values) for label, _, values in series}
    entries = sorted(zip(*axes.get_legend_handles_labels()), key=lambda entry: high[entry[1]] == 0)
    columns = max(1, min(5, panel["gridPos"]["w"] * 10 // (max(len(label) for _, label in entries) + 4)))
    axes.legend(*zip(*entries[:2 * columns]), loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=columns,
                fontsize=7, frameon=False, labelcolor=INK, handlelength=1, columnspacing=1, handletextpad=0.5)


def heatmap(axes, panel, prometheus):
    """Cumulative buckets made single ones, by their bounds."""
    series = sorted(prometheus.over_time(panel["targets"][0]), key=lambda one: float(one[0].replace("+Inf", "inf")))
    if not series:
        return empty(axes)
    times = sorted({at for _, moments, _ in series for at in moments})
    rows = [[dict(zip(moments, values)).get(at, 0) for at in times] for _, moments, values in series]
    single = [rows[0]] + [[max(0, above - below) for above, below in zip(rows[i], rows[i - 1])] for i in range(1, len(rows))]
    used = max(i for i, row in enumerate(single) if any(count > 0.5 for count in row)) + 1
    bounds = [shown(float(label), "s") if label != "+Inf" else "more" for label, _, _ in series][:used]
    counts = [[count if count > 0.5 else math.nan for count in row] for row in single[:used]]
    axes.pcolormesh(days(times), range(used), counts, cmap="Oranges", norm=LogNorm(vmin=0.5), shading="nearest", rasterized=True)
    axes.set_yticks([row + 0.5 for row in range(used)], [f"≤ {bound}" for bound in bounds])
    clock(axes, prometheus)


def bargauge(axes, panel, prometheus):
    bars = prometheus.now(panel["targets"][0])
    if not bars:
        return empty(axes)
    bars = sorted(bars, key=lambda one: one[1])
    # a project is a UUID: its beginning tells them apart
    labels = [label if len(label) < 30 else label[:8] + "…" for label, _ in bars]
    places = range(len(bars))
    axes.barh(places, [value for _, value in bars], color=PALETTE[0], alpha=0.8, height=0.7)
    for place, (_, value) in zip(places, bars):
        axes.text(value, place, " " + shown(round(value), unit_of(panel)), va="center", fontsize=8, color=INK)
    axes.set_yticks(places, labels)
    axes.set_xlim(0, bars[-1][1] * 1.12)
    axes.xaxis.set_visible(False)


DRAW = {"stat": stat, "timeseries": timeseries, "heatmap": heatmap, "bargauge": bargauge}
UNIT_INCHES = (16 / 24, 0.36)


def picture(panels, prometheus, path):
    """All panels where the dashboard has them, as one picture."""
    top = min(panel["gridPos"]["y"] for panel in panels)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    size = (24 * UNIT_INCHES[0], height * UNIT_INCHES[1])
    figure = plt.figure(figsize=size, dpi=75, facecolor="#f4f5f7")
    for panel in panels:
        grid = panel["gridPos"]
        left, upper = grid["x"] * UNIT_INCHES[0], (grid["y"] - top) * UNIT_INCHES[1]
        width, tall = grid["w"] * UNIT_INCHES[0], grid["h"] * UNIT_INCHES[1]
        if panel["type"] == "row":
            figure.text((left + 0.12) / size[0], 1 - (upper + 0.26) / size[1], panel["title"], fontsize=12, weight="bold", color=INK)
            continue

        def place(x, y, w, h):
            return [(left + x) / size[0], 1 - (upper + y + h) / size[1], w / size[0], h / size[1]]

        figure.add_artist(plt.Rectangle(place(0.05, 0.05, width - 0.1, tall - 0.1)[:2], (width - 0.1) / size[0], (tall - 0.1) / size[1],
                                        facecolor="white", edgecolor=GRID, linewidth=0.8, zorder=-1))
        figure.text((left + 0.18) / size[0], 1 - (upper + 0.3) / size[1], panel["title"], fontsize=9, weight="bold", color=INK)
        if panel["type"] == "stat":
            inner = place(0.1, 0.35, width - 0.2, tall - 0.45)
        elif panel["type"] == "bargauge":
            inner = place(1.75, 0.42, width - 1.95, tall - 0.55)
        else:
            inner = place(0.75, 0.45, width - 0.95, tall - 1.15)
        axes = figure.add_axes(inner, facecolor="none")
        DRAW[panel["type"]](axes, panel, prometheus)
        axes.tick_params(labelsize=7.5, colors=FAINT, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.savefig(path, facecolor=figure.get_facecolor())
    plt.close(figure)
    smaller(path)
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def smaller(path):
    """A drawing needs no more than 128 colours."""
    from PIL import Image

    image = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def main():
    url, minutes = sys.argv[1], float(sys.argv[2])
    panels = json.loads(DASHBOARD.read_text())["panels"]
    rows = [panel for panel in panels if panel["type"] == "row"]
    after = rows[[row["title"] for row in rows].index(LAST_ROW_OF_THE_FIRST) + 1]["gridPos"]["y"]
    prometheus = Prometheus(url, minutes)
    picture([panel for panel in panels if panel["gridPos"]["y"] < after], prometheus, HERE / "dashboard.png")
    picture([panel for panel in panels if panel["gridPos"]["y"] >= after], prometheus, HERE / "pipeline.png")


if __name__ == "__main__":
    main()
