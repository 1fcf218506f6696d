"""Recurrent networks as pure functions in JAX. The names below are the public surface.

They are loaded at first use, so that `jaxrnn --help` need not wait a second for jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn.cells import (
        CELLS,
        elman,
        gru,
        gru_layernorm,
        gru_projected,
        indrnn,
        irnn,
        lru,
        lstm,
        lstm97,
        lstm_layernorm,
        lstm_projected,
        lstm_variant,
        mgu,
        mingru,
        minlstm,
        rglru,
        slstm,
    )
    from jaxrnn.layers import (
        batch_major,
        bidirectional,
        dense,
        dropout,
        embed,
        last,
        residual,
        stack,
        weight_drop,
    )
    from jaxrnn.masks import length_mask
    from jaxrnn.methods import METHODS
    from jaxrnn.policy import Policy
    from jaxrnn.types import Cell, Gated, Layer, Linear, Spec
    from jaxrnn.unrolling import unroll
    from jaxrnn.wrappers import chrono, clip_gradient, learned_carry, variational_dropout, zoneout

__all__ = [
    "CELLS",
    "METHODS",
    "Cell",
    "Gated",
    "Layer",
    "Linear",
    "Policy",
    "Spec",
    "batch_major",
    "bidirectional",
    "chrono",
    "clip_gradient",
    "dense",
    "dropout",
    "elman",
    "embed",
    "gru",
    "gru_layernorm",
    "gru_projected",
    "indrnn",
    "irnn",
    "last",
    "learned_carry",
    "length_mask",
    "lru",
    "lstm",
    "lstm97",
    "lstm_layernorm",
    "lstm_projected",
    "lstm_variant",
    "mgu",
    "mingru",
    "minlstm",
    "residual",
    "rglru",
    "slstm",
    "stack",
    "unroll",
    "variational_dropout",
    "weight_drop",
    "zoneout",
]

_HOMES = ("cells", "layers", "masks", "methods", "policy", "types", "unrolling", "wrappers")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"jaxrnn.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'jaxrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
