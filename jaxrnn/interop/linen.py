"""Flax linen's nn.RNN of SimpleCell, LSTMCell, OptimizedLSTMCell or GRUCell, and nn.Bidirectional of two.

Kernels stand apart by gate, named ii, hi and so on. The LSTM's bias is with h, the others' with x, and hn has the
GRU's b_n. Both LSTM cells have the same variables; what goes there is an OptimizedLSTMCell.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.linen import recurrent

from jaxrnn import layers
from jaxrnn.interop import nets
from jaxrnn.types import Cell, Layer, Params

SERVED = {"elman": tuple(nets.ACTIVATIONS), "lstm": (None,), "gru": ("after",)}
CELLS = {nn.SimpleCell: "elman", nn.LSTMCell: "lstm", nn.OptimizedLSTMCell: "lstm", nn.GRUCell: "gru"}


def from_linen(module: nn.RNN | nn.Bidirectional, variables: Mapping[str, Any]) -> tuple[Layer, Params]:
    """(layer, params) of an nn.RNN or nn.Bidirectional and its variables; batch_major(...) but for time_major.

    Raises ValueError on other modules, cells and functions, and on cells that compute in another dtype.
    """
    if isinstance(module, nn.Bidirectional):
        if module.merge_fn is not recurrent._concatenate:
            raise ValueError(f"from_linen: merge_fn is {module.merge_fn}, wanted the default, which joins the features")
        halves = "forward_rnn", "backward_rnn"
        layer, params = nets.directed([_cell(getattr(module, half), variables, half) for half in halves])
    else:
        cell, params = _cell(module, variables)
        layer = nets.turned(cell, module.reverse, module.keep_order)
    return layer if module.time_major else layers.batch_major(layer), params


def _cell(module: Any, variables: Mapping[str, Any], *half: str) -> tuple[Cell, Params]:
    cell = module.cell if isinstance(module, nn.RNN) else module
    if type(cell) not in CELLS:
        wanted = ", ".join(kind.__name__ for kind in CELLS)
        raise ValueError(f"from_linen: module is {type(cell).__name__}, wanted nn.RNN of one of {wanted}")

    def array(*place: str) -> np.ndarray:
        return nets.array_at("from_linen", "variables", variables, "params", *half, "cell", *place)

    gates, biased = {nn.SimpleCell: ("", "i"), nn.GRUCell: ("rzn", "i")}.get(type(cell), ("ifgo", "h"))
    nets.plain_flax("from_linen", cell, array("i" + gates[:1], "kernel").dtype)
    if isinstance(cell, nn.SimpleCell):
        activation = nets.activation_of("from_linen", cell.activation_fn)
        return nets.elman_of("from_linen", array("i", "kernel"), array("h", "kernel"), array("i", "bias"), activation)
    w_x, w_h, b = (
        np.concatenate([array(side + gate, kind) for gate in gates], -1)
        for side, kind in (("i", "kernel"), ("h", "kernel"), (biased, "bias"))
    )
    if isinstance(cell, nn.GRUCell):
        return nets.gru_of("from_linen", "after", w_x, w_h, b, array("hn", "bias"))
    return nets.lstm_of("from_linen", w_x, w_h, b)


def to_linen(layer: Layer, params: Params) -> tuple[nn.RNN | nn.Bidirectional, dict[str, Any]]:
    """(module, variables) that compute what `layer` does, time_major but for batch_major(...).

    Raises ValueError on stacks, peepholes, and the GRU's other forms.
    """
    net = nets.read("to_linen", "linen", layer, params, **SERVED)
    row = nets.single("to_linen", "linen", net, directions=2)
    time_major = not net.batch_major
    weights = [{"cell": _weights(one)} for one in row]
    if len(row) == 2:
        nets.plain_directions("to_linen", "linen", row)
        ahead, behind = (nn.RNN(_empty(one)) for one in row)
        both = dict(zip(("forward_rnn", "backward_rnn"), weights, strict=True))
        return nn.Bidirectional(ahead, behind, time_major=time_major), {"params": both}
    reverse, keep_order = nets.turning("to_linen", "linen", row[0])
    module = nn.RNN(_empty(row[0]), time_major=time_major, reverse=reverse, keep_order=keep_order)
    return module, {"params": weights[0]}


def _empty(one: nets.One) -> Any:
    if one.cell.name == "elman":
        return nn.SimpleCell(one.n, activation_fn=nets.ACTIVATIONS[one.kind], param_dtype=one.dtype)
    return (nn.GRUCell if one.cell.name == "gru" else nn.OptimizedLSTMCell)(one.n, param_dtype=one.dtype)


def _weights(one: nets.One) -> dict[str, dict[str, Any]]:
    w_x, w_h, b = one.params[:3]
    if one.cell.name == "elman":
        return {"i": {"kernel": w_x, "bias": b}, "h": {"kernel": w_h}}
    gates, biased = ("rzn", "i") if one.cell.name == "gru" else ("ifgo", "h")
    named: dict[str, dict[str, Any]] = {}
    for k, gate in enumerate(gates):
        block = slice(k * one.n, (k + 1) * one.n)
        named["i" + gate], named["h" + gate] = {"kernel": w_x[:, block]}, {"kernel": w_h[:, block]}
        named[biased + gate]["bias"] = b[block]
    if one.cell.name == "gru":
        named["hn"]["bias"] = one.params.b_n
    return named
