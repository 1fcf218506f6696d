"""The pictures of `jaxrnn inspect`, each drawn from what its JSON file has."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

SIGNED, OPEN = "RdBu_r", "Greys"
Data = Mapping[str, Any]
MONO = "monospace"


def heat_maps(path: Path, data: Data) -> None:
    """`panels` [rows, T] one under the other, over the same steps."""
    panels = data["panels"]
    rows = len(next(iter(panels.values())))
    height = min(max(0.09 * rows, 1.2), 3.6 if len(panels) < 3 else 2.6)
    with saved(path, (15, 1.2 + (height + 0.35) * len(panels)), data["title"]) as figure:
        every = figure.subplots(len(panels), squeeze=False)[:, 0]
        for axes, (name, values) in zip(every, panels.items(), strict=True):
            image = axes.imshow(values, aspect="auto", interpolation="none", **colours(values))
            axes.set_ylabel("unit")
            axes.set_title(f"{data['of']} {name}", loc="left", fontsize="medium")
            labelled(axes.yaxis, rows, [str(unit) for unit in data["units"]])
            figure.colorbar(image, ax=axes, pad=0.01, fraction=0.02)
        steps(every, np.shape(next(iter(panels.values())))[1], data["ticks"])


def attribution(path: Path, data: Data) -> None:
    """What one output rests on, as bars or, for several features, as a heat map; under it the same for many outputs."""
    one, many = np.array(data["one"]), np.array(data["many"])
    wide = one.ndim > 1 and one.shape[1] > 1
    heights = [1.6 if not wide else min(1.2 + 0.12 * one.shape[1], 4)]
    heights += [min(1.2 + 0.17 * len(many), 8)] if len(many) else []
    with saved(path, (15, 1.4 + sum(heights)), data["title"]) as figure:
        every = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        top = every[0]
        if wide:
            image = top.imshow(one.T, aspect="auto", interpolation="none", **colours(one))
            figure.colorbar(image, ax=top, pad=0.01, fraction=0.02, label="attribution")
            top.set_ylabel("feature")
            labelled(top.yaxis, one.shape[1], [str(k + 1) for k in range(one.shape[1])])
        else:
            values = one.reshape(len(one))
            top.bar(range(len(values)), values, color=np.where(values < 0, "#4575b4", "#d73027"))
            top.axhline(0, color="0.3", linewidth=0.8)
            top.set_ylabel("attribution")
            top.set_xlim(-0.5, len(values) - 0.5)
        top.set_title(data["one_title"], loc="left", fontsize="medium")
        steps(every, len(one), data["ticks"])
        if len(many):
            below = every[1]
            image = below.imshow(many, aspect="auto", interpolation="none", **colours(many))
            figure.colorbar(image, ax=below, pad=0.01, fraction=0.02, label="attribution")
            below.set_title(data["many_title"], loc="left", fontsize="medium")
            below.set_ylabel(data["rows_label"])
            labelled(below.yaxis, len(many), data["rows"], most=60)


def probe_scores(path: Path, data: Data) -> None:
    """How well a line through all units tells each label, and how well the best single unit goes with it."""
    names = data["names"]
    with saved(path, (12, 1.5 + 0.42 * len(names)), data["title"]) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        places = np.arange(len(names))
        for axes, values, chance, title, label in (
            (left, data["score"], data["chance"], "All units: a linear probe, held out", "score (1: always right)"),
            (right, data["r"], data["r_by_chance"], "The best single unit", "|correlation|"),
        ):
            axes.barh(places, np.maximum(values, 0), 0.7, color="#7fa8d1")
            axes.plot(
                np.maximum(chance, 0), places, "|", color="black", markersize=14, markeredgewidth=2, label="by chance"
            )
            axes.set(title=title, xlabel=label, xlim=(0, 1.0))
            axes.grid(axis="x", alpha=0.3)
        left.set_yticks(places, names)
        left.invert_yaxis()
        handles, words = left.get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower right")


def tracks(path: Path, data: Data) -> None:
    """Single units over the steps, with what they track under them: shaded where true, dashed where a number."""
    with saved(path, (15, 1.2 + 1.5 * len(data["tracks"])), data["title"]) as figure:
        every = figure.subplots(len(data["tracks"]), squeeze=False)[:, 0]
        for axes, track in zip(every, data["tracks"], strict=True):
            state, label = np.array(track["state"]), np.array(track["label"], float)
            axes.plot(state, drawstyle="steps-mid", color="#d73027", linewidth=1.4, label=f"unit {track['unit']}")
            other = axes.twinx()
            if track["binary"]:
                other.fill_between(range(len(label)), label, step="mid", color="0.6", alpha=0.35, linewidth=0)
                other.set(ylim=(0, 1), yticks=[])
            else:
                other.plot(label, drawstyle="steps-mid", color="0.4", linestyle="--", linewidth=1)
            axes.set_zorder(other.get_zorder() + 1)
            axes.set_frame_on(False)
            what = "shaded" if track["binary"] else "dashed, right scale"
            axes.set_title(
                f"{track['name']} ({what}) and unit {track['unit']} of {track['layer']} (red), r = {track['r']:.2f}",
                loc="left",
                fontsize="medium",
            )
            axes.set_ylabel("state")
            axes.margins(x=0)
        steps(every, len(data["tracks"][0]["state"]), data["ticks"])


def plane(path: Path, data: Data) -> None:
    """States on their first two axes: a cloud by kinds, one way through it with its steps written, and the variance."""
    with saved(path, (14, 7), data["title"]) as figure:
        axes, beside = figure.subplots(1, 2, width_ratios=[3.2, 1])
        cloud = np.array(data["cloud"])
        for number, (kind, places) in enumerate(data["kinds"].items()):
            axes.scatter(*cloud[places].T, s=5, alpha=0.35, linewidth=0, color=f"C{number % 10}", label=kind)
        for number, way in enumerate(data["ways"]):
            way = np.array(way)
            colour = "0.25" if len(data["ways"]) == 1 else f"C{number % 10}"
            axes.plot(*way.T, color=colour, linewidth=0.8, alpha=0.7)
            axes.plot(*way[0], marker="o", color=colour, markersize=5)
            axes.plot(*way[-1], marker="s", color=colour, markersize=5)
        for (x, y), word in zip(data["ways"][0] if data["written"] else [], data["written"] or [], strict=True):
            axes.text(x, y, word, fontsize=8, ha="center", va="center", fontfamily=MONO)
        named_axes(axes, data["explained"])
        if data["kinds"]:
            for handle in axes.legend(fontsize="small", markerscale=3, title="after").legend_handles:
                handle.set_alpha(1)
        variance(beside, data["explained"])


def resting(path: Path, data: Data) -> None:
    """Fixed points among trajectories on the first two axes, and on the first and the third; their eigenvalues."""
    places, leaving, fixed = (np.array(data[name]) for name in ("points", "unstable", "converged"))
    groups = [
        (fixed & (leaving == 0), {"marker": "o", "color": "#1a9850"}, "stable"),
        (fixed & (leaving == 1), {"marker": "X", "color": "#f46d43"}, "1 unstable direction"),
        (fixed & (leaving > 1), {"marker": "P", "color": "#a50026"}, "more unstable directions"),
        (~fixed, {"marker": "s", "color": "#8c96c6"}, "slow, not at rest"),
    ]
    flat = places.shape[1] < 3
    with saved(path, (11 if flat else 15, 6), data["title"]) as figure:
        *planes, spectrum = figure.subplots(1, 2 if flat else 3)
        for second, axes in enumerate(planes, 1):
            for way in map(np.array, data["ways"]):
                axes.plot(way[:, 0], way[:, second], color="0.6", linewidth=0.5, alpha=0.5)
            for there, look, label in groups:
                style = {"s": 70, "zorder": 3, "edgecolor": "white", "linewidth": 0.6} | look
                if there.any():
                    axes.scatter(places[there, 0], places[there, second], label=f"{label} ({there.sum()})", **style)
            for place, rests, outputs in zip(places, groups[0][0], data["outputs"], strict=True):
                if rests and len(outputs) <= 4:
                    signs = "".join("+" if y > 0 else "\u2212" for y in outputs)
                    axes.annotate(signs, place[[0, second]], xytext=(6, 6), textcoords="offset points", fontsize=9)
            named_axes(axes, data["explained"], second)
        planes[0].legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
        around = 2 * np.pi * np.linspace(0, 1, 200)
        spectrum.plot(np.cos(around), np.sin(around), color="0.4", linewidth=1)
        values = np.array(data["eigenvalues"])
        for there, look, _ in groups:
            real, imaginary = values[there].reshape(-1, 2).T
            spectrum.scatter(real, imaginary, s=9, color=look["color"], alpha=0.6, linewidth=0)
        spectrum.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
        spectrum.set_title("Eigenvalues; inside the circle states come back", fontsize="medium")
        spectrum.grid(alpha=0.3)


def costs(path: Path, data: Data) -> None:
    """Operations of each layer, forward and in training."""
    names, places = data["layers"], np.arange(len(data["layers"]))
    with saved(path, (9, 1.6 + 0.55 * len(names)), data["title"]) as figure:
        axes = figure.subplots()
        for shift, what, colour in ((-0.2, "forward", "#7fa8d1"), (0.2, "training", "#d18b7f")):
            axes.barh(places + shift, data[what], 0.38, label=what, color=colour)
        axes.set_yticks(places, [f"{n}\n{p:,} parameters" for n, p in zip(names, data["parameters"], strict=True)])
        axes.invert_yaxis()
        axes.set_xlabel("floating-point operations")
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize="small")


def named_axes(axes: Axes, explained: Sequence[float], second: int = 1) -> None:
    axes.set(
        xlabel=f"axis 1 ({explained[0]:.0%} of the variance)",
        ylabel=f"axis {second + 1} ({explained[second]:.0%} of the variance)",
    )
    axes.grid(alpha=0.3)


def variance(axes: Axes, explained: Sequence[float]) -> None:
    total = np.cumsum(explained)
    axes.plot(range(1, len(total) + 1), total, marker="o" if len(total) < 30 else "", markersize=4)
    axes.set(title="Variance held", xlabel="first so many axes", ylabel="share", ylim=(0, 1.02))
    axes.grid(alpha=0.3)


def steps(every: Iterable[Axes], T: int, ticks: Sequence[str] | None) -> None:
    """The steps under the last of some panels: what stands there, or their numbers from 0."""
    *above, axes = every
    for each in above:  # ticks that are shared among axes are laid out, slowly, in each of them
        each.set_xticks([])
    if ticks is None:
        axes.set_xlabel("step")
        return
    upright = max(map(len, ticks)) > 1
    axes.set_xticks(range(T), ticks, rotation=90 if upright else 0, fontsize=8, fontfamily=MONO)
    axes.tick_params(axis="x", length=0 if not upright else 2)
    axes.set_xlabel("what is read")


def labelled(axis: Any, n: int, names: Sequence[str], most: int = 20) -> None:
    """Every row's name, or where there are too many, every second, third, ..."""
    every = -(-n // most)
    axis.set_ticks(range(0, n, every), [names[k] for k in range(0, n, every)], fontsize=7)


def colours(values: Any) -> dict[str, Any]:
    """Red above 0 and blue below, or shades of grey from 0 to 1 for what is never below 0."""
    values = np.asarray(values)
    least, most = float(values.min(initial=0)), float(values.max(initial=0))
    if least >= 0 and most <= 1:
        return {"cmap": OPEN, "norm": Normalize(0, 1)}
    size = float(np.quantile(np.abs(values), 0.995)) or max(-least, most) or 1.0  # a few far out would pale all others
    return {"cmap": SIGNED, "norm": TwoSlopeNorm(0, -size, size)}


@contextlib.contextmanager
def saved(path: Path, size: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure that is written when all is drawn. A character that no font here has is drawn as a box, unremarked."""
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield figure
        figure.savefig(path, dpi=110)
