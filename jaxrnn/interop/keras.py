"""Keras 3's SimpleRNN, LSTM, GRU and Bidirectional: kernels [n_in, blocks * n], blocks i, f, c, o and z, r, h.

reset_after=True is the form "after", with a bias [2, 3n] for x and for h; False is "before", with one. Keras's layers
have the batch first, and with go_backwards give ys in the order in which they were made: `flipped` and `first`.
A mask differs in one thing: where Keras repeats the last output over padding, ours is zero.
"""

from typing import Any

import keras
import numpy as np

from jaxrnn import layers
from jaxrnn.interop import nets
from jaxrnn.interop.order import first, flipped
from jaxrnn.types import Cell, Layer, Params
from jaxrnn.unrolling import unroll

ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "linear": "identity"}
SERVED = {"elman": tuple(ACTIVATIONS.values()), "lstm": (None,), "gru": ("after", "before")}
NOT_CARRIED = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "activity_regularizer")
NOT_CARRIED += ("kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout")
ORDERS = {(False, False): layers.last, (True, False): first, (True, True): flipped}  # by go_backwards, return_sequences
ZRH = (1, 0, 2)  # Keras's blocks in our order, and ours in Keras's


def from_keras(layer: keras.layers.Layer) -> tuple[Layer, Params]:
    """(layer, params) of a built SimpleRNN, LSTM, GRU or Bidirectional, always in batch_major(...).

    Raises ValueError on other layers, activations and merge modes, on dropout, regularizers, constraints and stateful.
    """
    if isinstance(layer, keras.layers.Bidirectional):
        ours, params = _bidirectional(layer)
    else:
        cell, params = _cell(layer)
        run: Any = layer
        ours = unroll(cell, reverse=run.go_backwards)
        order = ORDERS.get((run.go_backwards, run.return_sequences))
        ours = order(ours) if order else ours
    return layers.batch_major(ours), params


def _bidirectional(layer: Any) -> tuple[Layer, Params]:
    if layer.merge_mode != "concat":
        raise ValueError(f"from_keras: {layer.name} has merge_mode={layer.merge_mode!r}, wanted 'concat'")
    if layer.forward_layer.go_backwards:
        raise ValueError(
            f"from_keras: {layer.name} has a forward layer with go_backwards, wanted it in the backward one"
        )
    (cell, params), (back, back_params) = _cell(layer.forward_layer), _cell(layer.backward_layer)
    ahead, behind = unroll(cell), unroll(back, reverse=True)
    if not layer.return_sequences:
        ahead, behind = layers.last(ahead), first(behind)
    return layers.bidirectional(ahead, behind), layers.Directions(params, back_params)


def _cell(layer: Any) -> tuple[Cell, Params]:
    if not isinstance(layer, keras.layers.SimpleRNN | keras.layers.LSTM | keras.layers.GRU):
        kind = type(layer).__name__
        raise ValueError(f"from_keras: layer is a {kind}, wanted a SimpleRNN, LSTM or GRU, or a Bidirectional of them")
    if not layer.built:
        raise ValueError(f"from_keras: {layer.name} has no weights yet; layer.build((None, None, n_in)) makes them")
    _refuse(layer)
    name = keras.activations.serialize(layer.activation)
    w_x, w_h, *rest = (keras.ops.convert_to_numpy(w.value) for w in layer.weights[: 2 + layer.use_bias])
    b = rest[0] if rest else None
    if isinstance(layer, keras.layers.SimpleRNN):
        if name not in ACTIVATIONS:
            raise ValueError(f"from_keras: {layer.name} has activation {name}, wanted one of {', '.join(ACTIVATIONS)}")
        return nets.elman_of("from_keras", w_x, w_h, b, ACTIVATIONS[name])
    gates = keras.activations.serialize(layer.recurrent_activation)
    if (name, gates) != ("tanh", "sigmoid"):
        raise ValueError(f"from_keras: {layer.name} has activations {name} and {gates}, wanted tanh and sigmoid")
    if isinstance(layer, keras.layers.LSTM):
        return nets.lstm_of("from_keras", w_x, w_h, b)
    w_x, w_h = nets.blocks(w_x, ZRH), nets.blocks(w_h, ZRH)
    b = np.zeros((1 + layer.reset_after, w_x.shape[1]), w_x.dtype) if b is None else np.atleast_2d(b)
    outer, *inner = nets.blocks(b, ZRH)
    if not layer.reset_after:
        return nets.gru_of("from_keras", "before", w_x, w_h, outer)
    n = 2 * layer.units
    both = np.concatenate([outer[:n] + inner[0][:n], outer[n:]])
    return nets.gru_of("from_keras", "after", w_x, w_h, both, inner[0][n:])


def _refuse(layer: Any) -> None:
    """What a Keras layer may do beside its equations."""
    for name in NOT_CARRIED:
        if getattr(layer, name, None):
            raise ValueError(
                f"from_keras: {layer.name} has {name}, which has no place in a layer here; make it without"
            )
    if layer.stateful:
        raise ValueError(f"from_keras: {layer.name} is stateful, wanted stateful=False: here the carry is handed on")
    if layer.compute_dtype != layer.variable_dtype:
        both = f"{layer.variable_dtype} weights and computes in {layer.compute_dtype}"
        raise ValueError(f"from_keras: {layer.name} has {both}, wanted all float32 or all float64")


def to_keras(layer: Layer, params: Params) -> keras.layers.Layer:
    """The built SimpleRNN, LSTM, GRU or Bidirectional that computes what batch_major(...) of one of them does.

    Raises ValueError on stacks, peepholes, the article's GRU, and ys in an order that Keras does not give.
    """
    net = nets.read("to_keras", "Keras", layer, params, **SERVED)
    if not net.batch_major:
        raise ValueError("to_keras: Keras has the batch first, wanted batch_major(layer)")
    row = nets.single("to_keras", "Keras", net, directions=2)
    orders = [(one.reverse, one.ys) for one in row]
    if len(row) == 2:
        if orders not in ([(False, "all"), (True, "all")], [(False, "last"), (True, "first")]):
            raise ValueError(
                f"to_keras: the directions give {orders[0][1]} and {orders[1][1]} ys, wanted all, or last and first"
            )
        ahead, behind = (_empty(one, one.ys == "all") for one in row)
        made: Any = keras.layers.Bidirectional(ahead, backward_layer=behind)
    else:
        (one,) = row
        if orders[0] not in ((False, "all"), (False, "last"), (True, "flipped"), (True, "first")):
            wanted = "flipped or first" if one.reverse else "all or last"
            raise ValueError(f"to_keras: reverse={one.reverse} gives {one.ys} ys, wanted {wanted} as Keras has them")
        made = _empty(one, one.ys in ("all", "flipped"))
    made.build((None, None, row[0].n_in))
    made.set_weights([array for one in row for array in _weights(one)])
    return made


def _empty(one: nets.One, return_sequences: bool) -> Any:
    options: dict[str, Any] = {
        "return_sequences": return_sequences,
        "go_backwards": one.reverse,
        "dtype": str(one.dtype),
    }
    if one.cell.name == "elman":
        name = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == one.kind)
        return keras.layers.SimpleRNN(one.n, activation=name, **options)
    if one.cell.name == "lstm":
        return keras.layers.LSTM(one.n, **options)
    return keras.layers.GRU(one.n, reset_after=one.kind == "after", **options)


def _weights(one: nets.One) -> list[np.ndarray]:
    w_x, w_h, b = (np.asarray(a) for a in one.params[:3])
    if one.cell.name != "gru":
        return [w_x, w_h, b]
    if one.kind == "after":
        b = np.stack([b, np.concatenate([np.zeros(2 * one.n, b.dtype), one.params.b_n])])
    return [nets.blocks(a, ZRH) for a in (w_x, w_h, b)]
