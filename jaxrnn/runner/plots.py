"""The pictures a run leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
from jaxtyping import ArrayLike

Curve = tuple[Sequence[float], Sequence[float]]


def curves(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, Curve],
    levels: Mapping[str, float] | None = None,
) -> None:
    """One line per entry, and a dashed level per anchor that the lines should be read against."""
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, (xs, ys) in lines.items():
        axes.plot(xs, ys, label=name, marker="o" if len(xs) < 30 else "", markersize=4, linewidth=1.2)
    for number, (name, level) in enumerate((levels or {}).items()):
        axes.axhline(level, linestyle="--", linewidth=1, color=f"C{len(lines) + number}", label=f"{name}: {level:.2f}")
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def piano_rolls(path: Path, rolls: Mapping[str, ArrayLike]) -> None:
    """Rolls [steps, 88] one under the other, by the keys that any of them has above 0.05."""
    arrays = {name: np.asarray(roll, np.float32) for name, roll in rolls.items()}
    used = np.flatnonzero(np.max([roll.max(0) for roll in arrays.values()], 0) > 0.05)
    low, high = (used.min(), used.max()) if len(used) else (0, 87)
    figure = matplotlib.figure.Figure(figsize=(10, 3 * len(rolls)), layout="constrained")
    panels = figure.subplots(len(rolls), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, roll) in zip(panels, arrays.items(), strict=True):
        place = {"extent": (0, len(roll), low + 20.5, high + 21.5), "aspect": "auto", "origin": "lower"}
        axes.imshow(roll[:, low : high + 1].T, cmap="Greys", vmin=0, vmax=1, interpolation="none", **place)
        axes.set(title=name, ylabel="MIDI note")
    panels[-1].set(xlabel="step")
    figure.savefig(path, dpi=120)
