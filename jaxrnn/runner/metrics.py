"""metrics.jsonl: one JSON object a line, on disk as soon as it is known."""

import contextlib
import json
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
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
