"""The tasks, a file each. TASKS has a row for each: its configuration, and what does the work.

A task is one function, `make(config, assets) -> Problem`, where bad input is found before a run begins. `assets` is
what an earlier run kept of its data (a vocabulary, a mean), None for a new run.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jaxrnn.runner.config import (
    Article,
    Cerg,
    Config,
    Flipflop,
    Hs97,
    Polymusic,
    Seqmnist,
    Sequences,
    Series,
    Speech,
    Tagging,
    Text,
    Translate,
)


class Task(NamedTuple):
    config: type[Config]
    work: str | Callable[..., Any]  # a module with `make`, imported when the task is run since it needs jax; or `make`

    @property
    def module(self) -> ModuleType:
        assert isinstance(self.work, str)
        return importlib.import_module(self.work)

    def make(self, config: Config, assets: Mapping[str, Any] | None = None) -> Any:
        """The Problem."""
        if isinstance(self.work, str):
            return self.module.make(config, assets)
        return self.work(config, assets) if len(inspect.signature(self.work).parameters) > 1 else self.work(config)

    def stand_in(self, folder: Path) -> dict[str, Any]:
        """Options that name small made-up files of the task's format, written there; none where it needs no file."""
        made = getattr(self.module, "stand_in", None) if isinstance(self.work, str) else None
        return made(folder) if made else {}


TASKS = {
    "text": Task(Text, "jaxrnn.runner.tasks.text"),
    "series": Task(Series, "jaxrnn.runner.tasks.series"),
    "sequences": Task(Sequences, "jaxrnn.runner.tasks.sequences"),
    "polymusic": Task(Polymusic, "jaxrnn.runner.tasks.polymusic"),
    "hs97": Task(Hs97, "jaxrnn.runner.tasks.hs97"),
    "cerg": Task(Cerg, "jaxrnn.runner.tasks.cerg"),
    "flipflop": Task(Flipflop, "jaxrnn.runner.tasks.flipflop"),
    "seqmnist": Task(Seqmnist, "jaxrnn.runner.tasks.seqmnist"),
    "speech": Task(Speech, "jaxrnn.runner.tasks.speech"),
    "tagging": Task(Tagging, "jaxrnn.runner.tasks.tagging"),
    "translate": Task(Translate, "jaxrnn.runner.tasks.translate"),
    "article": Task(Article, "jaxrnn.runner.tasks.article"),  # many small networks: a `train` of its own
}
