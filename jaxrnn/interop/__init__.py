"""Weights brought from elsewhere and taken away: from_<framework> and to_<framework>, a file each.

A framework is imported when its first name is used, so that `import jaxrnn.interop` needs jax alone.
"""

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn.interop.cudnn import from_cudnn, to_cudnn
    from jaxrnn.interop.equinox import from_equinox, to_equinox
    from jaxrnn.interop.files import load, save
    from jaxrnn.interop.haiku import from_haiku, to_haiku
    from jaxrnn.interop.keras import from_keras, to_keras
    from jaxrnn.interop.linen import from_linen, to_linen
    from jaxrnn.interop.nnx import from_nnx, to_nnx
    from jaxrnn.interop.onnx import from_onnx, to_onnx
    from jaxrnn.interop.torch import from_torch, to_torch

__all__ = [
    "from_cudnn",
    "from_equinox",
    "from_haiku",
    "from_keras",
    "from_linen",
    "from_nnx",
    "from_onnx",
    "from_torch",
    "load",
    "save",
    "to_cudnn",
    "to_equinox",
    "to_haiku",
    "to_keras",
    "to_linen",
    "to_nnx",
    "to_onnx",
    "to_torch",
]

_PACKAGES = {"haiku": "dm-haiku", "linen": "flax", "nnx": "flax"}  # where `pip install` has another name for it
_MODULES = {"linen": "flax", "nnx": "flax", "cudnn": "jax", "files": "jax"}  # what a file of ours imports


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxrnn.interop' has no attribute {name!r}")
    home = _home(name)
    try:
        return getattr(importlib.import_module(f"jaxrnn.interop.{home}"), name)
    except ModuleNotFoundError as error:
        if home == "keras" and importlib.util.find_spec("keras"):
            raise ImportError(f"{name}: Keras lacks {error.name}; set KERAS_BACKEND=jax") from error
        raise ImportError(
            f"{name} needs `pip install {_PACKAGES.get(home, home)}` (no module named {error.name!r})"
        ) from error


def _home(name: str) -> str:
    return name.partition("_")[2] or "files"


def __dir__() -> list[str]:
    """What can be had here, so that help() does not stumble over what cannot."""
    return [name for name in __all__ if _is_there(_home(name))]


def _is_there(home: str) -> bool:
    if home == "keras" and "KERAS_BACKEND" not in os.environ and not importlib.util.find_spec("tensorflow"):
        return False
    return importlib.util.find_spec(_MODULES.get(home, home)) is not None
