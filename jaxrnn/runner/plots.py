"""The pictures a run leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes

Curve = tuple[Sequence[float], ...]  # xs, ys and, where there are any, the standard deviations of ys


class Panel(NamedTuple):
    y_label: str
    lines: Mapping[str, Curve]
    levels: Mapping[str, float] = {}  # dashed: the anchors that the lines should be read against


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
    """One above the other, over the same x."""
    figure = matplotlib.figure.Figure(figsize=(8, 5 if len(parts) == 1 else 3.5 * len(parts)), layout="constrained")
    for axes, part in zip(figure.subplots(len(parts), sharex=True, squeeze=False)[:, 0], parts, strict=True):
        draw(axes, part)
    figure.suptitle(title)
    figure.axes[-1].set_xlabel(x_label)
    figure.savefig(path, dpi=120)


def draw(axes: Axes, part: Panel) -> None:
    for number, (name, (xs, ys, *spread)) in enumerate(part.lines.items()):
        marker = "o" if len(xs) < 30 else ""
        axes.plot(xs, ys, label=name, marker=marker, markersize=4, linewidth=1.2, color=f"C{number % 10}")
        if spread and len(spread[0]):
            low, high = ([y + sign * s for y, s in zip(ys, spread[0], strict=True)] for sign in (-1, 1))
            axes.fill_between(xs, low, high, alpha=0.2, linewidth=0, color=f"C{number % 10}")
    for number, (name, level) in enumerate(part.levels.items(), len(part.lines)):
        axes.axhline(level, linestyle="--", linewidth=1, color=f"C{number % 10}", label=f"{name}: {level:.4g}")
    axes.set_ylabel(part.y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


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
