"""The pictures of a benchmark: time against T, H and B, bars against the peers, and the roofline."""

from pathlib import Path
from typing import Any

import matplotlib.figure
import matplotlib.ticker

from jaxrnn.bench.results import Row
from jaxrnn.bench.tables import by_case

MARKERS = "osv^D<>Pp*Xhd"


def draw(stem: Path, rows: list[Row], session: Row) -> list[Path]:
    """PNG files that begin with `stem`; none where there is nothing to draw."""
    well = [row for row in rows if row["status"] == "ok"]
    if not well:
        return []
    style = {name: (f"C{k % 10}", MARKERS[k % len(MARKERS)]) for k, name in enumerate(_names(well))}
    figures = {"peers": bars(well, style), "roofline": roofline(well, session, style)}
    figures |= {f"time_{axis}": found for axis in "THB" if (found := against(axis, well, style))}
    paths = [stem.with_name(f"{stem.name}_{name}.png") for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=120)
    return paths


Style = dict[str, tuple[str, str]]


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in rows))


def bars(rows: list[Row], style: Style) -> Any:
    """A panel a case: how long each contender took, with p10 to p90, in the order of the results."""
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    cases = by_case(rows)
    columns = len(cells) if len(cells) > 1 else min(3, len(cases))
    if len(cells) > 1:  # a column a cell
        shapes = list(dict.fromkeys(case[1:] for case in cases))
        cases = dict(sorted(cases.items(), key=lambda item: (shapes.index(item[0][1:]), cells.index(item[0][0]))))
    lines = -(-len(cases) // columns)
    height = 1.0 + 0.26 * len(style)
    figure = matplotlib.figure.Figure(figsize=(5.2 * columns, height * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, ((cell, B, T, I, H, dtype, mode), those) in zip(panels, cases.items(), strict=False):
        medians, names = [1e3 * row["median"] for row in those], [row["name"] for row in those]
        noise = [[1e3 * (r["median"] - r["p10"]) for r in those], [1e3 * (r["p90"] - r["median"]) for r in those]]
        panel.barh(names, medians, xerr=noise, color=[style[name][0] for name in names], error_kw={"linewidth": 0.8})
        panel.invert_yaxis()
        panel.set_title(f"{cell}  B={B} T={T} I={I} H={H}  {dtype}  {mode}", fontsize=9)
        panel.set_xlabel("ms")
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    for panel in panels[len(cases) :]:
        panel.set_visible(False)
    return figure


def roofline(rows: list[Row], session: Row, style: Style) -> Any:
    """What each row reached, in GFLOP/s, under what memory and products allow."""
    figure = matplotlib.figure.Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    peak, bandwidth = session["peak_flops"], session["bandwidth"]
    intensities = [row["flops"] / row["least_bytes"] for row in rows]
    knee = peak / bandwidth
    low, high = min([knee, *intensities]) / 2, max([knee, *intensities]) * 2
    axes.plot([low, knee, high], [low * bandwidth / 1e9, peak / 1e9, peak / 1e9], color="black", label="roofline")
    for name, (color, marker) in style.items():
        those = [row for row in rows if row["name"] == name]
        xs = [row["flops"] / row["least_bytes"] for row in those]
        ys = [row["flops"] / row["median"] / 1e9 for row in those]
        axes.plot(xs, ys, marker, color=color, label=name, markersize=6, alpha=0.8)
    axes.set(
        xscale="log", yscale="log", xlabel="flops a byte that must move", ylabel="GFLOP/s", title="Roofline, float32"
    )
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter("{x:g}")
        side.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure


def against(axis: str, rows: list[Row], style: Style) -> Any:
    """Time against T, H or B, all else the same (but I = H); None where no three rows differ in that alone."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if axis == "H" and row["I"] != row["H"]:
            continue
        held = [name for name in ("cell", "B", "T", "I", "H", "dtype", "mode") if name != axis]
        place = tuple((name, row[name]) for name in held if not (axis == "H" and name == "I"))
        groups.setdefault(place, []).append(row)
    drawn = {place: those for place, those in groups.items() if len({row[axis] for row in those}) > 2}
    if not drawn:
        return None
    figure = matplotlib.figure.Figure(figsize=(5.5 * len(drawn) + 1.5, 4.5), layout="constrained")
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for panel, (place, those) in zip(panels, drawn.items(), strict=True):
        for name in _names(those):
            line = sorted((row for row in those if row["name"] == name), key=lambda row: row[axis])
            xs, medians = [row[axis] for row in line], [1e3 * row["median"] for row in line]
            color, marker = style[name]
            panel.plot(xs, medians, color=color, marker=marker, markersize=4, linewidth=1.2, label=name)
            panel.fill_between(
                xs, [1e3 * r["p10"] for r in line], [1e3 * r["p90"] for r in line], color=color, alpha=0.12
            )
        ticks = sorted({row[axis] for row in those})
        panel.set(xscale="log", yscale="log", ylabel="ms", xlabel="H = I" if axis == "H" else axis)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        (_, cell), *others = place
        panel.set_title(
            "  ".join([str(cell), *(str(v) if isinstance(v, str) else f"{n}={v}" for n, v in others)]), fontsize=9
        )
        panel.grid(alpha=0.3)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure
