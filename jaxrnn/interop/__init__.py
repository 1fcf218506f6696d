"""Weights brought from elsewhere and taken away: from_<framework> and to_<framework>, a file each.

A framework is imported when its first name is used, so that `import jaxrnn.interop` needs jax alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn.interop.files import load, save

__all__ = ["load", "save"]

_HOMES = {"load": "files", "save": "files"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxrnn.interop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jaxrnn.interop.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
