"""Equinox's LSTMCell and GRUCell: PyTorch's weights [blocks * n, n_in], with one bias, and the GRU's b_n apart."""

import equinox as eqx
import jax
import numpy as np

from jaxrnn.interop import nets
from jaxrnn.types import Layer, Params
from jaxrnn.unrolling import unroll

SERVED = {"lstm": (None,), "gru": ("after",)}


def from_equinox(cell: eqx.nn.LSTMCell | eqx.nn.GRUCell) -> tuple[Layer, Params]:
    """(layer, params) of an eqx.nn.LSTMCell or eqx.nn.GRUCell, unrolled."""
    if not isinstance(cell, eqx.nn.LSTMCell | eqx.nn.GRUCell):
        raise ValueError(f"from_equinox: cell is a {type(cell).__name__}, wanted eqx.nn.LSTMCell or eqx.nn.GRUCell")
    w_x, w_h = np.asarray(cell.weight_ih).T, np.asarray(cell.weight_hh).T
    if isinstance(cell, eqx.nn.LSTMCell):
        ours, params = nets.lstm_of("from_equinox", w_x, w_h, cell.bias)
    else:
        ours, params = nets.gru_of("from_equinox", "after", w_x, w_h, cell.bias, cell.bias_n)
    return unroll(ours), params


def to_equinox(layer: Layer, params: Params) -> eqx.nn.LSTMCell | eqx.nn.GRUCell:
    """The cell that computes a step of unroll(cell).

    Raises ValueError on stacks, directions, elman, peepholes, and the GRU's other forms.
    """
    net = nets.read("to_equinox", "Equinox", layer, params, **SERVED)
    one = nets.bare("to_equinox", "Equinox", net)
    kind = eqx.nn.LSTMCell if one.cell.name == "lstm" else eqx.nn.GRUCell
    names = ("weight_ih", "weight_hh", "bias", "bias_n")[: 3 if one.cell.name == "lstm" else 4]
    cell = kind(one.n_in, one.n, dtype=one.dtype, key=jax.random.key(0))
    weights = [w.T for w in one.params[: len(names)]]
    return eqx.tree_at(lambda cell: [getattr(cell, name) for name in names], cell, weights)
