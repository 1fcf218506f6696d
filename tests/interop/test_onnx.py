"""ONNX's RNN, LSTM and GRU come and go; onnxruntime computes the same ys and final states.

onnxruntime has no gradients of these, so that values are all there is to compare.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    batch_major,
    bidirectional,
    dense,
    dropout,
    elman,
    embed,
    gru,
    last,
    learned_carry,
    length_mask,
    lstm,
    stack,
    unroll,
)

from .comparing import B, T, close, made, randomized, refused

onnx = pytest.importorskip("onnx", reason="the extra `peers` brings onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `peers` brings onnxruntime")

from onnx import helper, numpy_helper

from jaxrnn.interop import from_onnx, to_onnx

CELLS = {
    "tanh": elman,
    "relu": lambda n_in, n: elman(n_in, n, "relu"),
    "sigmoid": lambda n_in, n: elman(n_in, n, "sigmoid"),
    "lstm": lstm,
    "peepholes": lambda n_in, n: lstm(n_in, n, peepholes="diagonal"),
    "gru_after": gru,
    "gru_before": lambda n_in, n: gru(n_in, n, form="before"),
}
DIRECTIONS = {
    "forward": lambda cell: unroll(cell(3, 4)),
    "reverse": lambda cell: unroll(cell(3, 4), reverse=True),
    "bidirectional": lambda cell: bidirectional(unroll(cell(3, 4)), unroll(cell(3, 4), reverse=True)),
}
LAYERS = {f"{name}-{way}": turn(cell) for name, cell in CELLS.items() for way, turn in DIRECTIONS.items()}
for name in ("tanh", "relu", "sigmoid", "peepholes", "gru_before"):  # a direction alone is read in the same place
    del LAYERS[f"{name}-reverse"]
LAYERS["stack"] = stack(LAYERS["peepholes-bidirectional"], dropout(0.5), unroll(gru(8, 5)), unroll(elman(5, 2)))
LAYERS["outputs"] = stack(unroll(gru(3, 5)), dense(5, 4), dense(4, 2))
LAYERS["last"] = last(stack(unroll(lstm(3, 5)), dense(5, 2)))
LAYERS["last-bidirectional"] = last(LAYERS["lstm-bidirectional"])
layers = pytest.mark.parametrize("name", LAYERS)


def theirs(model, xs, states):
    """(ys, [states])"""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    ys, *after = session.run(None, dict(zip(names, map(np.asarray, (xs, *states)), strict=True)))
    return ys, after


def as_states(layer, carry):
    """h_0, c_0, h_1, ... with the directions of each layer first."""
    inner = layer.spec.children[0] if layer.spec.name == "last" else layer.spec
    rows = carry if inner.name == "stack" else (carry,)
    rows = [row if isinstance(row[0], tuple) else (row,) for row in rows if row]
    return [np.stack(kind) for row in rows for kind in zip(*row, strict=True)]


@layers
def test_values_and_final_states_are_those_of_onnxruntime(name):
    layer = LAYERS[name]
    params = made(layer)
    xs, carry = randomized(1, (np.zeros((T, B, 3)), layer.carry((B,), params)))
    after, ys = layer.apply(params, carry, xs)
    model = to_onnx(layer, params, states=True)
    close((np.asarray(ys), as_states(layer, after)), theirs(model, xs, as_states(layer, carry)))


@layers
def test_a_model_without_states_begins_at_zeros_with_any_batch(name):
    layer = LAYERS[name]
    params = made(layer)
    model = to_onnx(layer, params)
    for batch in (1, B):
        xs = randomized(1, np.zeros((T, batch, 3)))
        _, ys = layer.apply(params, layer.carry((batch,), params), xs)
        close((np.asarray(ys), []), theirs(model, xs, ()))


@layers
@pytest.mark.parametrize("states", [True, False])
def test_lengths_are_a_mask(name, states):
    """Whatever stands in the padding, and where a sequence has no step, it keeps its states."""
    layer, lengths = LAYERS[name], jnp.array([T - 1, 2, 0, 1], jnp.int32)
    params, mask = made(layer), length_mask(lengths, T)
    xs, carry = randomized(1, (np.zeros((T, 4, 3)), layer.carry((4,), params)))
    xs = jnp.where(mask[..., None], xs, jnp.nan)
    after, ys = layer.apply(params, carry if states else layer.carry((4,), params), xs, mask=mask)
    given, wanted = (as_states(layer, c) if states else [] for c in (carry, after))
    model = to_onnx(layer, params, states=states, lengths=True)
    assert [given.name for given in model.graph.input[:2]] == ["xs", "lengths"]
    close((np.asarray(ys), wanted), theirs(model, xs, (lengths, *given)))
    with pytest.raises(ValueError, match=r"is given sequence_lens, wanted it without"):
        from_onnx(model)


def test_a_learned_start_is_a_state_that_is_given():
    layer = unroll(learned_carry(lstm(3, 4)))
    params = made(layer)
    message = "to_onnx: ONNX has no learned_carry, a state is an argument there; convert the layer without it, with "
    refused(f"{message}params.cell, and begin from params.start", to_onnx, layer, params)
    model = to_onnx(unroll(lstm(3, 4)), params.cell, states=True)
    xs = randomized(1, np.zeros((T, B, 3)))
    start = layer.carry((B,), params)
    close(np.asarray(layer.apply(params, start, xs)[1]), theirs(model, xs, as_states(layer, start))[0])


@layers
@pytest.mark.parametrize("states", [True, False])
def test_the_round_trip_is_exact(name, states):
    layer = LAYERS[name]
    params = made(layer)
    other, others = from_onnx(to_onnx(layer, params, states=states))
    assert jax.tree.structure(others) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(others), jax.tree.leaves(params)))
    assert [leaf.dtype for leaf in jax.tree.leaves(others)] == [np.float32] * len(jax.tree.leaves(params))
    assert options(other.spec) == options(layer.spec)


def options(spec):
    """A spec without the policy, which says float32 in what has come back."""
    kept = tuple(pair for pair in spec.options if pair[0] != "policy")
    return spec.name, kept, tuple(map(options, spec.children))


def node_model(op, given, attributes, after=(), output=None):
    """A model of one node with what others write: both biases, no states, or more options; it gives the last node's."""
    shapes = {"W": (1, given["blocks"] * 4, 3), "R": (1, given["blocks"] * 4, 4), "B": (1, 2 * given["blocks"] * 4)}
    arrays = {name: np.asarray(randomized(0, np.zeros(shapes[name]))) for name in given["names"]}
    states = ["lengths" * ("lengths" in given), *(["h"] if "h" in given else [])]
    stored = arrays | ({"h": np.full((1, B, 4), given["h"], np.float32)} if "h" in given else {})
    stored |= {"lengths": np.full(B, given["lengths"], np.int32)} if "lengths" in given else {}
    nodes = [helper.make_node(op, ["X", *arrays, *states], ["Y", "Y_h"], hidden_size=4, **attributes), *after]
    output = output or nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["T", "B", 3])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


FULL = {"blocks": 3, "names": ("W", "R", "B")}


@pytest.mark.parametrize("linear_before_reset", [0, 1])
@pytest.mark.parametrize("names", [("W", "R", "B"), ("W", "R")])
def test_both_biases_or_none_are_read(linear_before_reset, names):
    model = node_model("GRU", FULL | {"names": names}, {"linear_before_reset": linear_before_reset})
    layer, params = from_onnx(model)
    xs = randomized(1, np.zeros((T, B, 3)))
    _, ys = layer.apply(params, layer.carry((B,), params), xs)
    close(np.asarray(ys), theirs(model, xs, ())[0][:, 0])


def test_a_squeezed_direction_is_read():
    model = node_model("GRU", FULL, {}, [constant("axes", [1]), helper.make_node("Squeeze", ["Y", "axes"], ["Z"])])
    assert options(from_onnx(model)[0].spec) == options(unroll(gru(3, 4, form="before")).spec)


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value)))


@pytest.mark.parametrize("given", [["Y"], ["Y", ""], ["Y", "", ""]])
def test_a_dropout_without_its_rate_has_that_of_onnx(given):
    model = node_model("GRU", FULL, {}, [helper.make_node("Dropout", given, ["Z"])])
    assert options(from_onnx(model)[0].spec) == options(stack(unroll(gru(3, 4, form="before")), dropout(0.5)).spec)


def test_a_dropout_whose_rate_is_not_stored_is_refused():
    model = node_model("GRU", FULL, {}, [helper.make_node("Dropout", ["Y", "rate"], ["Z"])])
    refused("from_onnx: ratio of Dropout is computed in the model, wanted it stored", from_onnx, model)


def joined(shape, **attributes):
    """A node whose directions a Reshape to `shape` joins."""
    turned = helper.make_node("Transpose", ["Y"], ["turned"], perm=[0, 2, 1, 3])
    reshaped = helper.make_node("Reshape", ["turned", "shape"], ["Z"], **attributes)
    return node_model("GRU", FULL, {}, [*([] if shape is None else [constant("shape", shape)]), turned, reshaped])


@pytest.mark.parametrize("shape", [[0, 0, 4], [0, 0, -1]])
def test_a_reshape_that_keeps_time_and_batch_is_read(shape):
    layer, params = from_onnx(joined(shape))
    xs = randomized(1, np.zeros((T, B, 3)))
    close(np.asarray(layer.apply(params, layer.carry((B,), params), xs)[1]), theirs(joined(shape), xs, ())[0])


@pytest.mark.parametrize(
    ("shape", "attributes", "came"),
    [
        ([-1, 4], {}, "[-1, 4]"),
        ([0, -1], {}, "[0, -1]"),
        ([-1, 2, 4], {}, "[-1, 2, 4]"),
        ([0, 0, 2, 2], {}, "[0, 0, 2, 2]"),
        ([0, 0, 4], {"allowzero": 1}, "[0, 0, 4] with allowzero"),
        (None, {}, "a shape that is not stored"),
    ],
)
def test_a_reshape_of_time_or_batch_is_refused(shape, attributes, came):
    message = f"from_onnx: Reshape is to {came}, wanted [0, 0, n], which keeps time and batch"
    refused(message, from_onnx, joined(shape, **attributes))


def test_another_first_output_is_refused():
    message = "from_onnx: the model's first output is Y_h, wanted Y, which its last node gives"
    refused(message, from_onnx, node_model("GRU", FULL, {}, output="Y_h"))
    message = "from_onnx: the model's first output is Y, wanted Z, which its last node gives"
    refused(message, from_onnx, node_model("GRU", FULL, {}, [helper.make_node("Identity", ["Y"], ["Z"])], output="Y"))
    model = node_model("GRU", FULL, {})
    del model.graph.output[:]
    refused("from_onnx: the model's first output is none, wanted Y, which its last node gives", from_onnx, model)


def test_a_state_from_another_node_is_refused():
    """A decoder that starts where the encoder ended: what the carry is here is no argument there."""
    after = [
        constant("axes", [1]),
        helper.make_node("Squeeze", ["Y", "axes"], ["Z"]),
        helper.make_node("GRU", ["Z", "V", "R", "B", "", "Y_h"], ["Y2"], hidden_size=4),
    ]
    model = node_model("GRU", FULL, {}, after)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 12, 4), np.float32), "V"))
    message = "from_onnx: initial_h of GRU is computed in the model, wanted an input of the model; here the carry is"
    refused(f"{message} an argument", from_onnx, model)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (batch_major(unroll(lstm(3, 4))), "to_onnx: ONNX has time first, wanted the layer without batch_major"),
        (
            unroll(gru(3, 4, form="article")),
            "to_onnx: ONNX's gru has no form='article', only 'after', 'before': the article's own GRU, where r weighs "
            "the input, is no other's",
        ),
        (
            unroll(lstm(3, 4, peepholes="full")),
            "to_onnx: ONNX's lstm has no peepholes='full', only None, 'diagonal': no weights stand in for peepholes",
        ),
        (
            unroll(elman(3, 4, "identity")),
            "to_onnx: ONNX's elman has no activation='identity', only 'tanh', 'relu', 'sigmoid'",
        ),
        (
            bidirectional(unroll(lstm(3, 4)), unroll(gru(3, 4), reverse=True)),
            "to_onnx: the directions of layer 0 differ in more than their weights",
        ),
        (
            stack(last(unroll(gru(3, 4))), dense(4, 2)),
            "to_onnx: layer 0 is last(...), wanted all its ys; last goes around the stack, dense layers too",
        ),
        (
            stack(unroll(gru(3, 4)), dense(4, 2), unroll(gru(2, 4))),
            "to_onnx: unroll comes after dense, wanted dense layers at the end alone",
        ),
        (
            stack(dense(3, 3), unroll(gru(3, 4))),
            "to_onnx: unroll comes after dense, wanted dense layers at the end alone",
        ),
        (
            dense(3, 3),
            "to_onnx: the layer has no recurrent part, wanted unroll(cell), perhaps in a stack",
        ),
        (
            stack(embed(9, 3), unroll(gru(3, 4))),
            "to_onnx: ONNX's recurrent layers have no embed; wanted unroll(cell), perhaps in a stack",
        ),
    ],
)
def test_what_onnx_cannot_compute_is_refused(layer, message):
    refused(message, to_onnx, layer, made(layer))


@pytest.mark.parametrize(
    ("given", "attributes", "message"),
    [
        ({}, {"layout": 1}, "GRU has layout=1, wanted it without"),
        ({}, {"clip": 2.0}, "GRU has clip=2.0, wanted it without"),
        ({}, {"activations": ["HardSigmoid", "Tanh"]}, "GRU has activations hardsigmoid, tanh, wanted sigmoid, tanh"),
        ({"h": 1.0}, {}, "GRU starts from a stored state; here the carry is an argument"),
        (
            {"lengths": 2},
            {},
            "GRU is given sequence_lens, wanted it without; here lengths are the argument mask, "
            "which length_mask(lengths, T) makes",
        ),
    ],
)
def test_what_is_not_here_is_refused(given, attributes, message):
    refused(f"from_onnx: {message}", from_onnx, node_model("GRU", FULL | given, attributes))


def test_other_nodes_are_refused():
    after = [helper.make_node("Relu", ["Y"], ["Z"])]
    message = "from_onnx: node Relu {} has no place here, wanted RNN, LSTM and GRU nodes"
    refused(message, from_onnx, node_model("GRU", FULL, {}, after))
    others: list[tuple[str, Any]] = [("Transpose", {"perm": [1, 0, 2, 3]}), ("Reshape", {}), ("Squeeze", {})]
    for op, options in others:
        message = f"from_onnx: node {op} {options} has no place here, wanted RNN, LSTM and GRU nodes"
        refused(message, from_onnx, node_model("GRU", FULL, {}, [helper.make_node(op, ["Y"], ["Z"], **options)]))
    after = [helper.make_node("Squeeze", ["Y_h"], ["Z"])]
    message = "from_onnx: node Squeeze does not read what the one before it gives, wanted a chain"
    refused(message, from_onnx, node_model("GRU", FULL, {}, after))
