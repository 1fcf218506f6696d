"""The pictures a run leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure

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
