"""Weights brought from elsewhere and taken away: from_<framework> and to_<framework>, a file each.

A framework is imported when its first name is used, so that `import jaxrnn.interop` needs jax alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn.interop.files import load, save
    from jaxrnn.interop.keras import from_keras, to_keras
    from jaxrnn.interop.torch import from_torch, to_torch

__all__ = ["from_keras", "from_torch", "load", "save", "to_keras", "to_torch"]

_PACKAGES = {"keras": "keras", "torch": "torch"}  # what `pip install` calls each framework


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxrnn.interop' has no attribute {name!r}")
    home = name.partition("_")[2] or "files"
    try:
        return getattr(importlib.import_module(f"jaxrnn.interop.{home}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs `pip install {_PACKAGES[home]}` (no module named {error.name!r})") from error


def __dir__() -> list[str]:
    return __all__
