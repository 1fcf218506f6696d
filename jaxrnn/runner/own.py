"""A task of one's own: one function, `make(config) -> Problem`, and the whole command for it."""

import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxrnn.runner.config import Trained
from jaxrnn.runner.tasks import TASKS, Task


def command(make: Callable[..., Any], arguments: Sequence[str] | None = None) -> None:
    """`python FILE.py train --units 32`, and all else that `jaxrnn` does with a task and its runs.

    `make(config)` gives the Problem, or `make(config, assets)` where it keeps something of its data for later
    commands; the annotation of `config`, a dataclass that extends Trained, says which options there are. The task is
    called as the file is. Call it under `if __name__ == "__main__":`.

    Raises ValueError where the annotation is another.
    """
    name = Path(sys.argv[0]).stem
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    TASKS[name] = Task(config_of(make), make)
    from jaxrnn.cli import main  # only now: the command is built from TASKS

    main(meant(tokens, name))


def config_of(make: Callable[..., Any]) -> type[Trained]:
    hints = {key: hint for key, hint in typing.get_type_hints(make).items() if key != "return"}
    config = next(iter(hints.values()), None)
    if not (isinstance(config, type) and issubclass(config, Trained)):
        raise ValueError(f"command: the first argument of make is {config}, wanted a dataclass that extends Trained")
    return config


def meant(tokens: Sequence[str], name: str) -> list[str]:
    """The tokens with the task's name, which the file has said already, in its place."""
    verb, rest = list(tokens[:1]), list(tokens[1:])
    if verb not in (["train"], ["sweep"]) or (rest and (rest[0] in TASKS or rest[0].lower().endswith(".toml"))):
        return [*verb, *rest]
    return [*verb, name, *rest]
