"""metrics.jsonl: one JSON object a line, on disk as soon as it is known."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def metrics_file(directory: Path) -> Iterator[Callable[..., None]]:
    """Gives `write(**values)`, which appends a line."""
    with (directory / "metrics.jsonl").open("a", buffering=1, encoding="utf-8") as file:

        def write(**values: Any) -> None:
            file.write(json.dumps(values, allow_nan=False) + "\n")

        yield write


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Every line that is whole: the last one of a run that is alive, or was killed, may not be."""
    path, lines = directory / "metrics.jsonl", []
    if not path.exists():
        return lines
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def keep_until(directory: Path, step: int) -> float:
    """Cut off what came after a step, and a line that was never finished. Returns the seconds of the last line kept."""
    path, kept = directory / "metrics.jsonl", []
    if not path.exists():
        return 0.0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            values = json.loads(line)
            if values["step"] <= step:
                kept.append((line, values["seconds"]))
    part = path.with_suffix(".part")
    part.write_text("".join(line + "\n" for line, _ in kept), encoding="utf-8")
    os.replace(part, path)
    return kept[-1][1] if kept else 0.0
