"""The pictures a run leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np

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
