"""The experiment runner. A task of your own is one function: `command(make)` gives it the whole command."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn.runner.config import Trained
    from jaxrnn.runner.own import command
    from jaxrnn.runner.problem import Problem

__all__ = ["Problem", "Trained", "command"]

_HOMES = {"Problem": "problem", "Trained": "config", "command": "own"}  # jax is not here until it is asked for


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"jaxrnn.runner.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'jaxrnn.runner' has no attribute {name!r}")
