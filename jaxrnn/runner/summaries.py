"""What a run came to, from the files it left: one row of a table, and its learning curve."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxrnn.runner.config.reading import read_run
from jaxrnn.runner.metrics import read_metrics

WHERE = ("out", "coordinator", "process", "processes", "wait", "tensorboard", "watch")  # not what a run is, but where


class Summary(NamedTuple):
    """A run, finished or not."""

    directory: Path
    record: Mapping[str, Any]  # run.json
    watched: str | None  # the number the run is judged by, as metrics.jsonl names it; None before the first look

    @property
    def name(self) -> str:
        return self.directory.resolve().name

    @property
    def judged(self) -> Mapping[str, Any]:
        """How: split, loss, better and unit."""
        return self.record["judged"]

    @property
    def status(self) -> str:
        """As run.json has it, but a run that left the finite numbers has diverged."""
        last = (str(self.record.get("error") or "").rstrip().splitlines() or [""])[-1]
        return "diverged" if last.startswith("FloatingPointError") else self.record["status"]

    @property
    def seconds(self) -> float:
        """Of all the processes that worked on it, one after the other."""
        parts = [*self.record.get("earlier", []), self.record]
        return sum(part.get("seconds") or 0.0 for part in parts)


def summarize(directory: Path) -> Summary:
    """Raises ValueError where the directory is no run of the training loop."""
    record = read_run(directory)
    if "judged" not in record:
        raise ValueError(f"run: {directory} is a run of {record['task']!r}, wanted one of the training loop")
    looks = record.get("metrics") or looked(directory, record["judged"]["split"])
    return Summary(directory, record, next(iter(looks), None))


def looked(directory: Path, split: str) -> dict[str, Any]:
    """The numbers of a run's first look at the split."""
    for line in read_metrics(directory):
        if scores := {name: value for name, value in line.items() if name.startswith(f"{split}_")}:
            return scores
    return {}


def row(summary: Summary, options: Sequence[str]) -> dict[str, Any]:
    """The named options, and what came of them."""
    record = summary.record
    metrics = record.get("metrics") or {}
    steps = (record.get("best") or {}).get("step")
    return {
        "run": summary.name,
        **{name: record["config"].get(name) for name in options},
        **{name: value for name, value in metrics.items() if not name.endswith("_by_seed")},
        "best step": steps,
        "parameters": record.get("parameters"),
        "seconds": round(summary.seconds, 1),
        "status": summary.status,
    }


def differing(summaries: Sequence[Summary]) -> list[str]:
    """The options that are not the same in all the runs."""
    configs = [{"task": s.record["task"], **s.record["config"]} for s in summaries]
    names = dict.fromkeys(name for config in configs for name in config)
    return [n for n in names if n not in WHERE and any(config.get(n) != configs[0].get(n) for config in configs)]


class Curve(NamedTuple):
    steps: list[int]
    values: list[float]
    lowest: list[float]  # of the seeds, where there are several; or nothing
    highest: list[float]


def curve(directory: Path, name: str, points: int = 100) -> Curve:
    """A number of metrics.jsonl over the steps, in at most about so many means of neighbours."""
    lines = [line for line in read_metrics(directory) if line.get(name) is not None]
    width = math.ceil(len(lines) / points) if lines else 1
    chunks = [lines[i : i + width] for i in range(0, len(lines), width)]
    each = f"{name}_by_seed"
    several = bool(lines) and each in lines[0]

    def ends(end: Callable[[list[float]], float]) -> list[float]:
        return [mean([end(line[each]) for line in chunk]) for chunk in chunks] if several else []

    return Curve(
        [chunk[-1]["step"] for chunk in chunks],
        [mean([line[name] for line in chunk]) for chunk in chunks],
        ends(min),
        ends(max),
    )


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
