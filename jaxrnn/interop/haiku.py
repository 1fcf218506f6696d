"""Haiku's VanillaRNN, LSTM and GRU: cores without a direction, whose weights are named by where they were made.

VanillaRNN is elman with relu. The LSTM is one Linear of [x, h] with blocks i, g, f, o, and adds 1 to b_f in its code.
The GRU has blocks z, r, a, resets before the product, and its z is 1 - z here: those weights change their sign.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import numpy as np

from jaxrnn import checks
from jaxrnn.interop import nets
from jaxrnn.types import Layer, Params
from jaxrnn.unrolling import unroll

SERVED = {"elman": ("relu",), "lstm": (None,), "gru": ("before",)}
CORES: dict[str, Any] = {"elman": hk.VanillaRNN, "lstm": hk.LSTM, "gru": hk.GRU}
BLOCKS = {hk.VanillaRNN: 1, hk.LSTM: 4, hk.GRU: 3}
IGFO = (0, 2, 1, 3)  # Haiku's blocks in our order, and ours in Haiku's
ZRA = (1, 0, 2)


def from_haiku(core: Callable[..., hk.RNNCore], params: Mapping[str, Mapping[str, Any]]) -> tuple[Layer, Params]:
    """(layer, params) of hk.VanillaRNN, hk.LSTM or hk.GRU, the class or a partial of it, and the core's parameters.

    `params` is {module: {name: array}} of the core alone, such as {"lstm/linear": {"w": ..., "b": ...}}.
    """
    kind = core.func if isinstance(core, functools.partial) else core
    if not any(kind is known for known in CORES.values()):
        raise ValueError(f"from_haiku: core is {checks.short(core)}, wanted hk.VanillaRNN, hk.LSTM or hk.GRU")
    if not isinstance(params, Mapping):
        raise ValueError(f"from_haiku: params is {checks.short(params)}, wanted {{module: {{name: array}}}}")
    wanted = 2 if kind is hk.VanillaRNN else 1
    if len(params) != wanted:
        raise ValueError(
            f"from_haiku: params has modules {', '.join(params)}, wanted the {wanted} of one {kind.__name__}"
        )

    def arrays(module: str, *names: str) -> list[np.ndarray]:
        found = {name: nets.array_at("from_haiku", "params", params, module, name) for name in names}
        for name, a in found.items():
            if a.shape[-1] % BLOCKS[kind]:
                wanted = f"{BLOCKS[kind]} blocks of one width"
                raise ValueError(f"from_haiku: params.{module}.{name} is {checks.describe(a)}, wanted {wanted}")
        return list(found.values())

    first, *second = sorted(params)
    if kind is hk.VanillaRNN:  # linear, linear_1
        (w_x, b), (w_h,) = arrays(first, "w", "b"), arrays(second[0], "w")
        inner = arrays(second[0], "b")[0] if "b" in params[second[0]] else np.zeros_like(b)
        cell, ours = nets.elman_of("from_haiku", w_x, w_h, b + inner, "relu")
    elif kind is hk.LSTM:
        w, b = (nets.blocks(a, IGFO) for a in arrays(first, "w", "b"))
        n = len(b) // 4
        b[n : 2 * n] += 1
        cell, ours = nets.lstm_of("from_haiku", w[:-n], w[-n:], b)
    else:
        w_x, w_h, b = (_negated(nets.blocks(a, ZRA)) for a in arrays(first, "w_i", "w_h", "b"))
        cell, ours = nets.gru_of("from_haiku", "before", w_x, w_h, b)
    return unroll(cell), ours


def to_haiku(layer: Layer, params: Params) -> tuple[Callable[..., hk.RNNCore], dict[str, dict[str, Any]]]:
    """(core, params) that compute what unroll(cell) does: core() makes it inside hk.transform, under its usual name.

    The LSTM's b_f is rounded once, as Haiku keeps it less the 1 that it adds.
    Raises ValueError on stacks, directions, other activations, peepholes, and the GRU that resets after the product.
    """
    net = nets.read("to_haiku", "Haiku", layer, params, **SERVED)
    one = nets.bare("to_haiku", "Haiku", net)
    w_x, w_h, b = (np.asarray(a) for a in one.params[:3])
    core = functools.partial(CORES[one.cell.name], one.n)
    if one.cell.name == "elman":
        return core, {
            "vanilla_rnn/linear": {"w": w_x, "b": b},
            "vanilla_rnn/linear_1": {"w": w_h, "b": np.zeros_like(b)},
        }
    if one.cell.name == "lstm":
        w, b = nets.blocks(np.concatenate([w_x, w_h]), IGFO), nets.blocks(b, IGFO)
        b[2 * one.n : 3 * one.n] -= 1
        return core, {"lstm/linear": {"w": w, "b": b}}
    w_i, w_h, b = (nets.blocks(_negated(a), ZRA) for a in (w_x, w_h, b))
    return core, {"gru": {"w_i": w_i, "w_h": w_h, "b": b}}


def _negated(a: np.ndarray) -> np.ndarray:
    """The blocks r, z, n with the sign of z changed."""
    r, z, n = np.split(a, 3, -1)
    return np.concatenate([r, -z, n], -1)
