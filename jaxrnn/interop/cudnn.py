"""The flat float32 vector of jax.experimental.rnn, cuDNN's LSTM: all W_ih and W_hh, then all b_ih and b_hh.

Layers follow each other, forward before reverse in each; matrices are PyTorch's. The two biases are one here, and what
goes there has it in b_ih. jax.experimental.rnn.lstm has the batch first, so that these layers are batch_major(...).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn
from jaxtyping import Array, Float

from jaxrnn import checks, layers
from jaxrnn.interop import nets
from jaxrnn.types import Layer, Params


def from_cudnn(
    weights: Float[Array, "number"], n_in: int, n: int, num_layers: int = 1, bidirectional: bool = False
) -> tuple[Layer, Params]:
    """(layer, params) of the vector that rnn.lstm takes with these sizes.

    Raises ValueError where its length is not that of the sizes.
    """
    checks.size("from_cudnn", n_in=n_in, n=n, num_layers=num_layers)
    checks.flag("from_cudnn", bidirectional=bidirectional)
    number = rnn.get_num_params_in_lstm(n_in, n, num_layers, bidirectional)
    if getattr(weights, "shape", None) != (number,) or weights.dtype != np.float32:
        raise ValueError(f"from_cudnn: weights is {checks.short(weights)}, wanted float32[{number}] for these sizes")
    parts = rnn.unpack_lstm_weights(jnp.asarray(weights), n_in, n, num_layers, bidirectional)
    cells = [
        nets.lstm_of("from_cudnn", w_ih.T, w_hh.T, b_ih + b_hh)
        for w_ih, w_hh, b_ih, b_hh in zip(*(part.values() for part in parts), strict=True)
    ]
    directions = 2 if bidirectional else 1
    rows = [nets.directed(cells[k : k + directions]) for k in range(0, len(cells), directions)]
    layer, params = nets.stacked(rows)
    return layers.batch_major(layer), params


def to_cudnn(layer: Layer, params: Params) -> Float[Array, "number"]:
    """The vector for rnn.lstm of a batch_major LSTM, with layers and directions.

    Raises ValueError on other cells, peepholes, float64, and dropout, which is an argument of rnn.lstm.
    """
    net = nets.read("to_cudnn", "cuDNN", layer, params, lstm=(None,))
    first = nets.alike("to_cudnn", "cuDNN", net)
    if not net.batch_major:
        raise ValueError("to_cudnn: rnn.lstm has the batch first, wanted batch_major(layer)")
    if any(net.rates):
        raise ValueError("to_cudnn: the layer has dropout, which no weights carry; rnn.lstm takes it as an argument")
    if first.dtype != np.float32:
        raise ValueError(f"to_cudnn: params are {first.dtype}, wanted float32")
    every = [one.params for row in net.rows for one in row]
    matrices: list[jax.Array] = [w.T.ravel() for p in every for w in (p.w_x, p.w_h)]
    return jnp.concatenate(matrices + [b for p in every for b in (p.b, jnp.zeros_like(p.b))])
