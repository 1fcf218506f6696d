"""Weights brought from elsewhere and taken away: from_<framework> and to_<framework>, a file each.

A framework is imported when its first name is used, so that `import jaxrnn.interop` needs jax alone.
"""

import importlib
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxrnn.interop' has no attribute {name!r}")
    home = name.partition("_")[2] or "files"
    try:
        return getattr(importlib.import_module(f"jaxrnn.interop.{home}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs `pip install {_PACKAGES.get(home, home)}` (no module named {error.name!r})"
        ) from error


def __dir__() -> list[str]:
    return __all__
