"""Flax NNX's RNN of SimpleCell, LSTMCell, OptimizedLSTMCell or GRUCell, and Bidirectional of two.

OptimizedLSTMCell and GRUCell have their gates side by side, as here; LSTMCell has them apart. The LSTM's bias is with
h, the others' with x. NNX's GRUCell has no b_n, so that one which is not zero is refused.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx.nn import recurrent

from jaxrnn import layers
from jaxrnn.interop import nets
from jaxrnn.types import Cell, Layer, Params

SERVED = {"elman": tuple(nets.ACTIVATIONS), "lstm": (None,), "gru": ("after",)}
CELLS = (nnx.SimpleCell, nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell)


def from_nnx(module: nnx.RNN | nnx.Bidirectional) -> tuple[Layer, Params]:
    """(layer, params) of an nnx.RNN or nnx.Bidirectional; batch_major(...) but for time_major.

    Raises ValueError on other modules, cells and functions, and on cells that compute in another dtype.
    """
    if isinstance(module, nnx.Bidirectional):
        if module.merge_fn is not recurrent._concatenate:
            raise ValueError(f"from_nnx: merge_fn is {module.merge_fn}, wanted the default, which joins the features")
        layer, params = nets.directed([_cell(module.forward_rnn), _cell(module.backward_rnn)])
    else:
        cell, params = _cell(module)
        layer = nets.turned(cell, module.reverse, module.keep_order)
    return layer if module.time_major else layers.batch_major(layer), params


def _cell(module: Any) -> tuple[Cell, Params]:
    cell: Any = module.cell if isinstance(module, nnx.RNN) else module
    if type(cell) not in CELLS:
        wanted = ", ".join(kind.__name__ for kind in CELLS)
        raise ValueError(f"from_nnx: module is {type(cell).__name__}, wanted nnx.RNN of one of {wanted}")
    if isinstance(cell, nnx.LSTMCell):
        gates: list[Any] = [(cell.ii, cell.hi), (cell.if_, cell.hf), (cell.ig, cell.hg), (cell.io, cell.ho)]
        nets.plain_flax("from_nnx", cell, cell.ii.kernel[...].dtype)
        w_x, w_h = (np.concatenate([np.asarray(pair[k].kernel[...]) for pair in gates], 1) for k in range(2))
        return nets.lstm_of("from_nnx", w_x, w_h, np.concatenate([np.asarray(h.bias[...]) for _, h in gates]))
    nets.plain_flax("from_nnx", cell, cell.dense_i.kernel[...].dtype)
    biased = cell.dense_h if isinstance(cell, nnx.OptimizedLSTMCell) else cell.dense_i
    variables: tuple[Any, ...] = (cell.dense_i.kernel, cell.dense_h.kernel, biased.bias)
    w_x, w_h, b = (np.asarray(a[...]) for a in variables)
    if isinstance(cell, nnx.SimpleCell):
        return nets.elman_of("from_nnx", w_x, w_h, b, nets.activation_of("from_nnx", cell.activation_fn))
    if isinstance(cell, nnx.GRUCell):
        return nets.gru_of("from_nnx", "after", w_x, w_h, b)
    return nets.lstm_of("from_nnx", w_x, w_h, b)


def to_nnx(layer: Layer, params: Params) -> nnx.RNN | nnx.Bidirectional:
    """The nnx.RNN or nnx.Bidirectional that computes what `layer` does, time_major but for batch_major(...).

    Raises ValueError on stacks, peepholes, the GRU's other forms, and its b_n where that is not zero.
    """
    net = nets.read("to_nnx", "NNX", layer, params, **SERVED)
    row = nets.single("to_nnx", "NNX", net, directions=2)
    time_major = not net.batch_major
    if len(row) == 2:
        nets.plain_directions("to_nnx", "NNX", row)
        ahead, behind = (nnx.RNN(_filled(one)) for one in row)
        return nnx.Bidirectional(ahead, behind, time_major=time_major)
    reverse, keep_order = nets.turning("to_nnx", "NNX", row[0])
    return nnx.RNN(_filled(row[0]), time_major=time_major, reverse=reverse, keep_order=keep_order)


def _filled(one: nets.One) -> Any:
    options: dict[str, Any] = {"param_dtype": one.dtype, "rngs": nnx.Rngs(0)}
    if one.cell.name == "gru" and np.any(one.params.b_n):
        raise ValueError("to_nnx: b_n is not zero, and NNX's GRUCell has no bias inside the product with r")
    if one.cell.name == "elman":
        options |= {"activation_fn": nets.ACTIVATIONS[one.kind], "dtype": one.dtype}
    kind = {"elman": nnx.SimpleCell, "lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}[one.cell.name]
    cell = kind(one.n_in, one.n, **options)
    biased = cell.dense_h if one.cell.name == "lstm" else cell.dense_i
    for variable, array in zip((cell.dense_i.kernel, cell.dense_h.kernel, biased.bias), one.params, strict=False):
        variable[...] = jnp.asarray(array)
    return cell
