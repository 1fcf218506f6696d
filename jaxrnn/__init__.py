"""Recurrent networks as pure functions in JAX. The names below are the public surface.

They are loaded at first use, so that `jaxrnn --help` need not wait a second for jax.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrnn import analysis as analysis
    from jaxrnn.attention import attend, bind
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
        lstm2000,
        lstm_layernorm,
        lstm_projected,
        lstm_variant,
        mgu,
        mingru,
        minlstm,
        rglru,
        slstm,
    )
    from jaxrnn.ctc import ctc_greedy, ctc_loss, ctc_prefix_beam
    from jaxrnn.generation import generate, pick
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
    from jaxrnn.seq2seq import EncoderDecoder, beam_search, encode, greedy_search, teacher_forcing
    from jaxrnn.truncated import truncate
    from jaxrnn.types import Cell, Gated, Layer, Linear, Spec
    from jaxrnn.unrolling import unroll
    from jaxrnn.wrappers import chrono, clip_gradient, initialize, learned_carry, variational_dropout, zoneout

__all__ = [
    "CELLS",
    "METHODS",
    "Cell",
    "EncoderDecoder",
    "Gated",
    "Layer",
    "Linear",
    "Policy",
    "Spec",
    "attend",
    "batch_major",
    "beam_search",
    "bidirectional",
    "bind",
    "chrono",
    "clip_gradient",
    "ctc_greedy",
    "ctc_loss",
    "ctc_prefix_beam",
    "dense",
    "dropout",
    "elman",
    "embed",
    "encode",
    "generate",
    "greedy_search",
    "gru",
    "gru_layernorm",
    "gru_projected",
    "indrnn",
    "initialize",
    "irnn",
    "last",
    "learned_carry",
    "length_mask",
    "lru",
    "lstm",
    "lstm97",
    "lstm2000",
    "lstm_layernorm",
    "lstm_projected",
    "lstm_variant",
    "mgu",
    "mingru",
    "minlstm",
    "pick",
    "residual",
    "rglru",
    "slstm",
    "stack",
    "teacher_forcing",
    "truncate",
    "unroll",
    "variational_dropout",
    "weight_drop",
    "zoneout",
]

_HOMES = (
    "attention",
    "cells",
    "ctc",
    "generation",
    "layers",
    "masks",
    "methods",
    "policy",
    "seq2seq",
    "truncated",
    "types",
    "unrolling",
    "wrappers",
)


def __getattr__(name: str) -> Any:
    if name == "analysis":
        return importlib.import_module("jaxrnn.analysis")
    if name in __all__:
        for module in _homes():
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'jaxrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "analysis"]


def _homes() -> list[ModuleType]:
    return [importlib.import_module(f"jaxrnn.{home}") for home in _HOMES]


# An exported function is read by jax.export alone, which must then know the classes of params and carries by name
# (exporting.py). Whoever reads one has jax, and beside it our modules take no time.
if "jax" in sys.modules:
    _homes()
