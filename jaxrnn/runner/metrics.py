"""metrics.jsonl: one JSON object a line, on disk as soon as it is known."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxrnn.runner.files import write_whole


@contextlib.contextmanager
def metrics_file(directory: Path) -> Iterator[Callable[..., None]]:
    """Gives `write(**values)`, which appends a line.

    A disk that takes no more does not end the training: the lines wait, are tried again with each new one, and only
    at the end is it an OSError if some never got there.
    """
    path = directory / "metrics.jsonl"
    waiting, problem = b"", None

    with path.open("ab", buffering=0) as file:

        def flush() -> None:
            nonlocal waiting, problem
            try:
                while waiting:
                    waiting = waiting[file.write(waiting) or 0 :]
                problem = None
            except OSError as error:
                if problem is None:
                    print(f"jaxrnn: {path} takes no more lines for now: {error.strerror}", file=sys.stderr)
                problem = error

        def write(**values: Any) -> None:
            nonlocal waiting
            waiting += json.dumps(as_json(values), allow_nan=False).encode() + b"\n"
            flush()

        yield write
        flush()
    if problem is not None:
        raise OSError(f"{path} cannot be written: {problem.strerror}; it lacks {waiting.count(10)} lines")


def as_json(value: Any) -> Any:
    """The same with null for the numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Every line that is whole: the last one of a run that is alive, or was killed, may not be."""
    return [values for _, values in _lines(directory)]


def keep_until(directory: Path, step: int) -> float:
    """Cut off what came after a step, and a line that was never finished. Returns the seconds of the last line kept."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return 0.0
    kept = [(line, values) for line, values in _lines(directory) if values["step"] <= step]
    write_whole(path, "".join(line + "\n" for line, _ in kept))
    return float(kept[-1][1]["seconds"]) if kept else 0.0


def _lines(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that are ours, each with its values: step and seconds at least."""
    path = directory / "metrics.jsonl"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(line)
            numbers = isinstance(values, dict) and (values.get("step"), values.get("seconds"))
            if numbers and all(isinstance(each, int | float) for each in numbers):
                yield line, values
