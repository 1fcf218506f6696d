"""ONNX's RNN, LSTM and GRU operators: W [directions, blocks * n, n_in], blocks i, o, f, c and z, r, h, and two biases.

The LSTM has diagonal peepholes P [i, o, f]. The GRU's linear_before_reset=1 is the form "after", 0 is "before".
Every layer is a node, then a Transpose and a Reshape that join its directions along the features. A node that is given
no states begins from zeros.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jaxrnn import checks, layers
from jaxrnn.interop import nets
from jaxrnn.types import Cell, Layer, Params
from jaxrnn.unrolling import unroll

SERVED = {"elman": ("tanh", "relu", "sigmoid"), "lstm": (None, "diagonal"), "gru": ("after", "before")}
OPERATORS = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}
THERE = {"elman": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # our blocks in ONNX's order
BACK = {"elman": (0,), "lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}  # ONNX's blocks in ours
PEEPHOLES = (0, 2, 1)  # i, o, f and i, f, o
DIRECTIONS = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}


class _Graph(NamedTuple):
    """A model as it grows."""

    element: int  # the type of its numbers
    inputs: list[onnx.ValueInfoProto]
    outputs: list[onnx.ValueInfoProto]
    nodes: list[onnx.NodeProto]
    arrays: dict[str, Any]

    def add(self, op: str, given: list[str], made: str, **attributes: Any) -> str:
        """A node that makes one array, whose name comes back."""
        self.nodes.append(helper.make_node(op, given, [made], **attributes))
        return made

    def value(self, name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self.element, shape)


def to_onnx(layer: Layer, params: Params, *, states: bool = False, lengths: bool = False) -> onnx.ModelProto:
    """The model: xs [T, B, n_in] -> ys [T, B, n], from states that are zeros.

    states      also from h_0, c_0, h_1, ... [directions, B, n], those of each layer, to h_0_after, c_0_after, ...
                That is how one streams, and how one begins where a `learned_carry` does.
    lengths     also from int32 lengths [B], 0 to T: what mask=length_mask(lengths, T) is here

    Dense layers may stand at the end, and all of it under `last`, whose ys [B, n] are those of the last step.
    Raises ValueError on full peepholes, the article's GRU, batch_major, and directions that differ.
    """
    checks.flag("to_onnx", states=states, lengths=lengths)
    net = nets.read("to_onnx", "ONNX", layer, params, whole=True, **SERVED)
    if net.batch_major:
        raise ValueError("to_onnx: ONNX has time first, wanted the layer without batch_major")
    if not net.rows:
        raise ValueError("to_onnx: the layer has no recurrent part, wanted unroll(cell), perhaps in a stack")
    graph = _Graph(_element(net), [], [], [], {})
    graph.inputs.append(graph.value("xs", "T", "B", net.rows[0][0].n_in))
    if lengths:
        graph.inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]))
    current = _steps(graph, net, states, lengths)
    if lengths:
        current = _padded(graph, current, net.last, states)
    elif net.last:
        graph.arrays["last"] = -1
        current = graph.add("Gather", [current, "last"], "at_last", axis=0)
    graph.add("Identity", [current], "ys")
    n = net.outputs[-1].b.size if net.outputs else len(net.rows[-1]) * net.rows[-1][0].n
    ys = graph.value("ys", *["T"] * (not net.last), "B", n)
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in graph.arrays.items()]
    made = helper.make_graph(graph.nodes, "jaxrnn", graph.inputs, [ys, *graph.outputs], stored)
    # Opset 17 is of 2022: older readers know it, and these operators have not changed their meaning since.
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="jaxrnn")
    onnx.checker.check_model(model)
    return model


def _element(net: nets.Net) -> int:
    dtypes = {one.dtype for row in net.rows for one in row} | {np.dtype(out.w.dtype) for out in net.outputs}
    if len(dtypes) > 1:
        raise ValueError(f"to_onnx: the layers are {', '.join(sorted(map(str, dtypes)))}, wanted one dtype")
    return helper.np_dtype_to_tensor_dtype(dtypes.pop())


def _steps(graph: _Graph, net: nets.Net, states: bool, lengths: bool) -> str:
    """The layers one after another; the name of what the last one gives at every step."""
    current = "xs"
    for k, (row, rate) in enumerate(zip(net.rows, net.rates, strict=True)):
        current = _recurrent(graph, k, row, current, states, lengths)
        if rate:
            graph.arrays[f"rate_{k}"] = np.float32(rate)
            current = graph.add("Dropout", [current, f"rate_{k}"], f"dropped_{k}")
    for k, out in enumerate(net.outputs):
        graph.arrays.update({f"dense_{k}": out.w, f"bias_{k}": out.b})
        product = graph.add("MatMul", [current, f"dense_{k}"], f"product_{k}")
        current = graph.add("Add", [product, f"bias_{k}"], f"out_{k}")
    return current


def _recurrent(graph: _Graph, k: int, row: tuple[nets.One, ...], current: str, states: bool, lengths: bool) -> str:
    """Layer k, which reads `current`; the name of its ys [T, B, directions * n]."""
    first = _alike(k, row)
    weights = {f"{name}_{k}": array for name, array in _weights(row).items()}
    graph.arrays.update(weights | {f"shape_{k}": [0, 0, len(row) * first.n]})
    kinds = ["h", "c"] if first.cell.name == "lstm" else ["h"]
    before = [f"{kind}_{k}" if states else "" for kind in kinds]
    after = [f"{name}_{'ended' if lengths else 'after'}" for name in before if name]
    given = [current, f"W_{k}", f"R_{k}", f"B_{k}", "lengths" * lengths, *before, *[f"P_{k}"] * (f"P_{k}" in weights)]
    graph.nodes.append(helper.make_node(OPERATORS[first.cell.name], given, [f"y_{k}", *after], **_attributes(row)))
    for name in filter(None, before):
        graph.inputs.append(graph.value(name, len(row), "B", first.n))
        graph.outputs.append(graph.value(f"{name}_after", len(row), "B", first.n))
    turned = graph.add("Transpose", [f"y_{k}"], f"turned_{k}", perm=[0, 2, 1, 3])
    return graph.add("Reshape", [turned, f"shape_{k}"], f"joined_{k}")


def _padded(graph: _Graph, current: str, last: bool, states: bool) -> str:
    """The name of ys with zeros from each length on, where a dense layer has its bias; under `last` of each last step.

    The states of a sequence of length 0 are held, where onnxruntime gives zeros.
    """
    nothing = np.zeros((), helper.tensor_dtype_to_np_dtype(graph.element))
    graph.arrays.update(zero=0, one=1, as_ends=[-1, 1], as_steps=[-1, 1, 1], nothing=nothing)
    graph.add("Cast", ["lengths"], "whole", to=TensorProto.INT64)
    graph.add("Reshape", ["whole", "as_ends"], "ends")  # [B, 1]
    graph.add("Shape", ["xs"], "sizes")
    graph.add("Gather", ["sizes", "zero"], "number")  # T
    graph.add("Range", ["zero", "number", "one"], "range")
    graph.add("Reshape", ["range", "as_steps"], "steps")  # [T, 1, 1]
    if states:
        graph.add("Less", ["zero", "ends"], "any")
        for given in graph.inputs[2:]:
            graph.add("Where", ["any", f"{given.name}_ended", given.name], f"{given.name}_after")
    if not last:
        graph.add("Less", ["steps", "ends"], "real")
        return graph.add("Where", ["real", current, "nothing"], "zeroed")
    graph.arrays["axes"] = [0]
    graph.add("Sub", ["ends", "one"], "last")
    graph.add("Equal", ["steps", "last"], "real")
    graph.add("Where", ["real", current, "nothing"], "zeroed")
    return graph.add("ReduceSum", ["zeroed", "axes"], "at_last", keepdims=0)


def _alike(k: int, row: tuple[nets.One, ...]) -> nets.One:
    """The first of a node's directions; the other has its kind and sizes."""
    first = row[0]
    for one in row:
        if one.ys != "all":
            raise ValueError(
                f"to_onnx: layer {k} is {one.ys}(...), wanted all its ys; last goes around the stack, dense layers too"
            )
        if (one.cell.name, one.kind, one.n_in, one.n) != (first.cell.name, first.kind, first.n_in, first.n):
            raise ValueError(f"to_onnx: the directions of layer {k} differ in more than their weights")
    return first


def _attributes(row: tuple[nets.One, ...]) -> dict[str, Any]:
    first = row[0]
    direction = "bidirectional" if len(row) == 2 else "reverse" if first.reverse else "forward"
    attributes: dict[str, Any] = {"hidden_size": first.n, "direction": direction}
    if first.cell.name == "elman":
        attributes["activations"] = [first.kind.capitalize()] * len(row)
    if first.cell.name == "gru":
        attributes["linear_before_reset"] = int(first.kind == "after")
    return attributes


def _weights(row: tuple[nets.One, ...]) -> dict[str, np.ndarray]:
    """W, R, B and perhaps P of a node."""
    order = THERE[row[0].cell.name]
    each: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": [], "P": []}
    for one in row:
        inner = np.zeros_like(one.params.b)
        if one.kind == "after":
            inner[-one.n :] = one.params.b_n
        each["W"].append(nets.blocks(one.params.w_x, order).T)
        each["R"].append(nets.blocks(one.params.w_h, order).T)
        each["B"].append(np.concatenate([nets.blocks(one.params.b, order), nets.blocks(inner, order)]))
        if one.kind == "diagonal":
            each["P"].append(nets.blocks(np.concatenate(one.params.peepholes), PEEPHOLES))
    return {name: np.stack(arrays) for name, arrays in each.items() if arrays}


def from_onnx(model: onnx.ModelProto) -> tuple[Layer, Params]:
    """(layer, params) of a model that is a chain of RNN, LSTM and GRU nodes, time first.

    Between them may stand what joins the directions (Transpose and Reshape, or Squeeze), Dropout and Identity; after
    them dense layers (MatMul and Add), and a Gather of the last step; the states may be inputs or absent, and the first
    output is what the last node gives. Raises ValueError on anything else.
    """
    if not isinstance(model, onnx.ModelProto):
        raise ValueError(
            f"from_onnx: model is a {type(model).__name__}, wanted an onnx.ModelProto; onnx.load reads one"
        )
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    current = next((given.name for given in model.graph.input if given.name not in arrays), "")
    inputs = {given.name for given in model.graph.input}
    before, chain, ended = "", [], False
    for node in model.graph.node:
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in options:
            arrays[node.output[0]] = numpy_helper.to_array(options["value"])
            continue
        if not node.input or node.input[0] != current:
            raise ValueError(
                f"from_onnx: node {node.op_type} does not read what the one before it gives, wanted a chain"
            )
        if node.op_type in OPERATORS.values():
            chain.append(_row(node, options, arrays, inputs))
        elif node.op_type == "Dropout":
            chain.append((layers.dropout(_rate(node, options, arrays)), ()))
        elif node.op_type == "MatMul" and chain and node.input[1] in arrays and not ended:
            chain.append(nets.dense_of("from_onnx", arrays[node.input[1]]))
        elif node.op_type == "Add" and before == "MatMul" and node.input[1] in arrays:
            chain[-1] = (chain[-1][0], chain[-1][1]._replace(b=jnp.asarray(arrays[node.input[1]])))
        elif node.op_type == "Gather" and chain and _is_last(node, options, arrays):
            ended = True
        elif not _joins(node, options, before, arrays):
            raise ValueError(
                f"from_onnx: node {node.op_type} {options} has no place here, wanted RNN, LSTM and GRU nodes"
            )
        current, before = node.output[0], node.op_type
    if not chain:
        raise ValueError("from_onnx: the model has no RNN, LSTM or GRU node")
    first = next((made.name for made in model.graph.output), "none")
    if first != current:
        raise ValueError(f"from_onnx: the model's first output is {first}, wanted {current}, which its last node gives")
    whole, params = chain[0]
    if len(chain) > 1:
        whole, params = layers.stack(*(layer for layer, _ in chain)), tuple(params for _, params in chain)
    return (layers.last(whole) if ended else whole), params


def _rate(node: Any, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> float:
    """The rate of a Dropout: its second input, or before opset 12 an attribute."""
    ratio = node.input[1] if len(node.input) > 1 else ""
    if ratio and ratio not in arrays:
        raise ValueError("from_onnx: ratio of Dropout is computed in the model, wanted it stored")
    return float(arrays[ratio]) if ratio else options.get("ratio", 0.5)


def _is_last(node: Any, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> bool:
    place = arrays.get(node.input[1])
    return options.get("axis", 0) == 0 and place is not None and place.shape == () and int(place) == -1


def _joins(node: Any, options: dict[str, Any], before: str, arrays: dict[str, np.ndarray]) -> bool:
    """Whether the node only joins the directions that a recurrent one gives apart."""
    if node.op_type == "Transpose":
        return before in OPERATORS.values() and list(options.get("perm", ())) == [0, 2, 1, 3]
    if node.op_type == "Squeeze":
        axes = arrays.get(node.input[1]) if len(node.input) > 1 else options.get("axes")
        return before in OPERATORS.values() and axes is not None and list(axes) == [1]
    if node.op_type == "Reshape" and before == "Transpose":
        _keeps_steps(node, options, arrays)
        return True
    return node.op_type == "Identity"


def _keeps_steps(node: Any, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError unless a Reshape leaves T and B as they are, which a 0 says, and joins the other axes."""
    shape = arrays.get(node.input[1]) if len(node.input) > 1 else options.get("shape")
    literal = " with allowzero" * bool(options.get("allowzero"))  # where 0 is a size
    if shape is None or len(shape) != 3 or any(shape[:2]) or literal:
        came = "a shape that is not stored" if shape is None else f"{[int(n) for n in shape]}{literal}"
        raise ValueError(f"from_onnx: Reshape is to {came}, wanted [0, 0, n], which keeps time and batch")


def _row(node: Any, options: dict[str, Any], arrays: dict[str, np.ndarray], inputs: set[str]) -> tuple[Layer, Params]:
    name = next(ours for ours, theirs in OPERATORS.items() if theirs == node.op_type)
    given = dict(zip(("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"), node.input, strict=False))
    given = {place: source for place, source in given.items() if source}
    for place in ("W", "R", "B", "P"):
        if place in given and given[place] not in arrays:
            raise ValueError(f"from_onnx: {place} of {node.op_type} is computed in the model, wanted it stored")
    if "sequence_lens" in given:
        raise ValueError(
            f"from_onnx: {node.op_type} is given sequence_lens, wanted it without; here lengths are the argument mask, "
            "which length_mask(lengths, T) makes"
        )
    for place in ("initial_h", "initial_c"):
        if np.any(arrays.get(given.get(place, ""), 0)):
            raise ValueError(f"from_onnx: {node.op_type} starts from a stored state; here the carry is an argument")
        if place in given and given[place] not in arrays and given[place] not in inputs:
            raise ValueError(
                f"from_onnx: {place} of {node.op_type} is computed in the model, wanted an input of the model; "
                "here the carry is an argument"
            )
    activation = _activation(node, name, options)
    part = {place: arrays[given[place]] for place in ("W", "R", "B", "P") if place in given}
    backwards = DIRECTIONS[options.get("direction", b"forward").decode()]
    form = "after" if options.get("linear_before_reset") else "before"
    cells = [_cell(name, form, activation, {k: a[d] for k, a in part.items()}) for d in range(len(backwards))]
    if backwards == [True]:
        return unroll(cells[0][0], reverse=True), cells[0][1]
    return nets.directed(cells)


def _activation(node: Any, name: str, options: dict[str, Any]) -> str:
    """The activation of an RNN; every other option stands where our cells have it."""
    for option, wanted in (("layout", 0), ("input_forget", 0), ("clip", None), ("activation_alpha", None)):
        if options.get(option, wanted) != wanted:
            raise ValueError(f"from_onnx: {node.op_type} has {option}={options[option]}, wanted it without")
    functions = [f.decode().lower() for f in options.get("activations", ())]
    if name == "elman":
        kinds = set(functions) or {"tanh"}
        if len(kinds) > 1 or not kinds <= set(SERVED["elman"]):
            raise ValueError(
                f"from_onnx: RNN has activations {', '.join(functions)}, wanted one of tanh, relu, sigmoid"
            )
        return kinds.pop()
    usual = ["sigmoid", "tanh", "tanh"] if name == "lstm" else ["sigmoid", "tanh"]
    if functions not in ([], usual, usual * 2):
        raise ValueError(f"from_onnx: {node.op_type} has activations {', '.join(functions)}, wanted {', '.join(usual)}")
    return ""


def _cell(name: str, form: str, activation: str, part: dict[str, np.ndarray]) -> tuple[Cell, Params]:
    """The cell of one direction of a node."""
    order = BACK[name]
    w_x, w_h = nets.blocks(part["W"].T, order), nets.blocks(part["R"].T, order)
    outer, inner = np.split(part.get("B", np.zeros(2 * w_x.shape[1], w_x.dtype)), 2)
    outer, inner = nets.blocks(outer, order), nets.blocks(inner, order)
    if name == "elman":
        return nets.elman_of("from_onnx", w_x, w_h, outer + inner, activation)
    if name == "lstm":
        peepholes = np.split(nets.blocks(part["P"], PEEPHOLES), 3) if "P" in part else None
        return nets.lstm_of("from_onnx", w_x, w_h, outer + inner, peepholes)
    n = w_h.shape[0]
    if form == "before":
        return nets.gru_of("from_onnx", form, w_x, w_h, outer + inner)
    both = np.concatenate([outer[: 2 * n] + inner[: 2 * n], outer[2 * n :]])
    return nets.gru_of("from_onnx", form, w_x, w_h, both, inner[2 * n :])
