"""The pictures a run leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

STYLES = ("-", "--", ":", "-.")  # of the first ten lines, the next ten, ...
Curve = tuple[Sequence[float], ...]  # xs, ys and, where there is a band about them, its lower and its upper edge


class Panel(NamedTuple):
    y_label: str
    lines: Mapping[str, Curve]
    levels: Mapping[str, float] = {}  # dashed: the anchors that the lines should be read against
    x_label: str = ""  # of its own, where it does not share x with the others
    log: bool = False


def curves(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, Curve],
    levels: Mapping[str, float] | None = None,
) -> None:
    """One line per entry, and a dashed level per anchor that the lines should be read against."""
    panels(path, title, x_label, [Panel(y_label, lines, levels or {})])


def panels(path: Path, title: str, x_label: str, parts: Sequence[Panel]) -> None:
    """One above the other, over the same x unless each has its own."""
    shared = not any(part.x_label for part in parts)
    figure = matplotlib.figure.Figure(figsize=(8, 5 if len(parts) == 1 else 3.5 * len(parts)), layout="constrained")
    for axes, part in zip(figure.subplots(len(parts), sharex=shared, squeeze=False)[:, 0], parts, strict=True):
        draw(axes, part)
    figure.suptitle(title)
    if shared:
        figure.axes[-1].set_xlabel(x_label)
    figure.savefig(path, dpi=120)


def draw(axes: Axes, part: Panel) -> None:
    for number, (name, (xs, ys, *band)) in enumerate(part.lines.items()):
        marker = "o" if len(xs) < 30 else ""
        axes.plot(
            xs,
            ys,
            label=name,
            marker=marker,
            markersize=4,
            linewidth=1.2,
            color=f"C{number % 10}",
            linestyle=STYLES[number // 10 % len(STYLES)],
        )
        if band and len(band[0]):
            axes.fill_between(xs, band[0], band[1], alpha=0.2, linewidth=0, color=f"C{number % 10}")
    for number, (name, level) in enumerate(part.levels.items(), len(part.lines)):
        axes.axhline(level, linestyle="--", linewidth=1, color=f"C{number % 10}", label=f"{name}: {level:.4g}")
    axes.set(xlabel=part.x_label, ylabel=part.y_label, yscale="log" if part.log else "linear")
    whole = MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)  # x counts steps or epochs
    axes.xaxis.set_major_locator(whole)
    axes.grid(alpha=0.3)
    if len(part.lines) + len(part.levels) > 6:  # too many to stand among the lines
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        axes.legend(fontsize="small")


def confusion(path: Path, classes: Sequence[str], counts: np.ndarray) -> None:
    """counts [true, found]: shares of each true class as shades, and the counts where there is room for them."""
    size = min(4 + 0.4 * len(classes), 16)
    figure = matplotlib.figure.Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 30:
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 3 else 0)
        axes.set_yticks(range(len(classes)), [f"{c} ({n:,})" for c, n in zip(classes, counts.sum(1), strict=True)])
        for true, found in np.argwhere(counts):
            shade = "white" if shares[true, found] > 0.5 else "black"
            axes.text(found, true, f"{counts[true, found]:,}", ha="center", va="center", color=shade, fontsize=8)
    axes.set(xlabel="found", ylabel="true (how many)")
    figure.colorbar(image, label="share of the true class")
    figure.savefig(path, dpi=120)


def against(path: Path, name: str, truth: np.ndarray, found: np.ndarray) -> None:
    """Numbers found against the true ones, and the line on which they would be equal."""
    figure = matplotlib.figure.Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    ends = [float(truth.min()), float(truth.max())]
    axes.plot(ends, ends, color="0.6", linestyle="--", label="equal")
    axes.scatter(truth, found, s=8, alpha=0.5)
    axes.set(xlabel=f"true {name}", ylabel="found")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def piano_rolls(path: Path, rolls: Mapping[str, ArrayLike]) -> None:
    """Rolls [steps, 88] one under the other, by the keys that any of them has above 0.05."""
    arrays = {name: np.asarray(roll, np.float32) for name, roll in rolls.items()}
    used = np.flatnonzero(np.max([roll.max(0) for roll in arrays.values()], 0) > 0.05)
    low, high = (used.min(), used.max()) if len(used) else (0, 87)
    figure = matplotlib.figure.Figure(figsize=(10, 3 * len(rolls)), layout="constrained")
    rows = figure.subplots(len(rolls), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, roll) in zip(rows, arrays.items(), strict=True):
        place = {"extent": (0, len(roll), low + 20.5, high + 21.5), "aspect": "auto", "origin": "lower"}
        axes.imshow(roll[:, low : high + 1].T, cmap="Greys", vmin=0, vmax=1, interpolation="none", **place)
        axes.set(title=name, ylabel="MIDI note")
    rows[-1].set(xlabel="step")
    figure.savefig(path, dpi=120)


def gallery(path: Path, pictures: np.ndarray, titles: Sequence[str]) -> None:
    """Pictures [N, height, width] in rows of eight, each under its title."""
    rows = -(-len(titles) // 8)
    figure = matplotlib.figure.Figure(figsize=(12, 1.7 * rows), layout="constrained")
    for axes in (places := figure.subplots(rows, 8, squeeze=False).ravel()):
        axes.set_axis_off()
    for axes, picture, title in zip(places, pictures, titles, strict=False):
        axes.imshow(picture, cmap="gray_r")
        axes.set_title(title, fontsize=9)
    figure.savefig(path, dpi=120)


def attention(path: Path, source: Sequence[str], target: Sequence[str], weights: np.ndarray) -> None:
    """weights [target, source]: where a decoder looked as it wrote each word."""
    size = 2 + 0.45 * max(len(source), len(target))
    figure = matplotlib.figure.Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(source)), source, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), target)
    axes.set(xlabel="read", ylabel="written")
    figure.colorbar(image, label="weight")
    figure.savefig(path, dpi=120)


def alignment(
    path: Path, title: str, xs: np.ndarray, chances: np.ndarray, labels: Sequence[str], seconds: float
) -> None:
    """A spectrogram xs [frames, bands], and below it the probability of each label, the first of them the blank."""
    figure = matplotlib.figure.Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    ends = (0, len(xs) * seconds)
    above.imshow(xs.T, extent=(*ends, 0, xs.shape[1]), aspect="auto", origin="lower", cmap="magma")
    above.set(title=title, ylabel="band of the mel scale")
    times = (np.arange(len(xs)) + 0.5) * seconds
    for k in np.flatnonzero(chances.max(0) > 0.1).tolist():
        color = "0.7" if k == 0 else f"C{(k - 1) % 10}"
        below.plot(times, chances[:, k], label=labels[k], color=color, linewidth=1 if k == 0 else 2)
    below.set(xlabel="seconds", ylabel="probability", xlim=ends, ylim=(0, 1.25))
    below.legend(ncols=11, fontsize="small", loc="upper center")
    figure.savefig(path, dpi=120)
