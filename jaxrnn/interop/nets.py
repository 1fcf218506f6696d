"""What every framework's file shares: a layer read as rows of cells with their weights, and built from them again.

`read` takes a Layer's spec apart, and refuses what it does not know rather than leave it out.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import checks, layers
from jaxrnn.cells import CELLS
from jaxrnn.cells.elman import ACTIVATIONS, elman
from jaxrnn.cells.elman import Params as ElmanParams
from jaxrnn.cells.gru import Params as GRUParams
from jaxrnn.cells.gru import gru
from jaxrnn.cells.lstm import Params as LSTMParams
from jaxrnn.cells.lstm import Peepholes, lstm
from jaxrnn.cells.lstm_projected import Params as ProjectedParams
from jaxrnn.cells.lstm_projected import lstm_projected
from jaxrnn.interop.order import flipped
from jaxrnn.policy import Policy, default_float
from jaxrnn.types import Cell, Layer, Params, Spec
from jaxrnn.unrolling import unroll

# The option that makes another function of a cell.
KIND = {"elman": "activation", "lstm": "peepholes", "lstm_projected": "peepholes", "gru": "form"}
WHY = {
    "before": "reset before or after the product are different functions, and no weights turn one into the other",
    "after": "reset before or after the product are different functions, and no weights turn one into the other",
    "article": "the article's own GRU, where r weighs the input, is no other's",
    "diagonal": "no weights stand in for peepholes",
    "full": "no weights stand in for peepholes",
}


class One(NamedTuple):
    """A cell that runs in one direction, with its weights, and which of its ys are given."""

    cell: Spec
    params: Any
    reverse: bool
    ys: str  # "all", or the name of what picks or turns them: last, first, flipped

    @property
    def n_in(self) -> int:
        return dict(self.cell.options)["n_in"]  # pyright: ignore[reportReturnType]

    @property
    def n(self) -> int:
        return dict(self.cell.options)["n"]  # pyright: ignore[reportReturnType]

    @property
    def n_y(self) -> int:
        """The width of its ys: n, but for a projection."""
        return dict(self.cell.options).get("n_proj", self.n)  # pyright: ignore[reportReturnType]

    @property
    def kind(self) -> Any:
        """The activation, the peepholes or the form."""
        return dict(self.cell.options)[KIND[self.cell.name]]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.params.w_x.dtype)


class Net(NamedTuple):
    """Rows from the input to the output, each of one direction or of two, and the dropout after each."""

    rows: tuple[tuple[One, ...], ...]
    rates: tuple[float, ...]
    batch_major: bool
    outputs: tuple[layers.Dense, ...] = ()  # after the rows
    last: bool = False  # of all that, the last step alone


def read(
    owner: str, framework: str, layer: Layer, params: Params, *, whole: bool = False, **served: tuple[Any, ...]
) -> Net:
    """The layer as a Net. `served` has the cells the framework knows, with the kinds of each.

    whole   also where it ends with dense layers, or is under `last`

    Raises ValueError on whatever the framework's own layer would compute differently.
    """
    if not isinstance(layer, Layer):
        raise ValueError(f"{owner}: layer is a {type(layer).__name__}, wanted a Layer")
    wanted = jax.eval_shape(layer.init, jax.random.key(0))
    checks.like(owner, "params", params, wanted, "layer.init(key) makes them")
    spec = layer.spec or Spec("custom")
    batch_major = spec.name == "batch_major"
    body = spec.children[0] if batch_major else spec
    last = whole and body.name == "last"
    body = body.children[0] if last else body
    rows, rates, outputs = [], [], []
    for part, weights in _parts(body, params):
        if whole and part.name == "dense":
            _plain_floats(owner, framework, part, weights)
            outputs.append(weights)
        elif outputs:
            raise ValueError(f"{owner}: {part.name} comes after dense, wanted dense layers at the end alone")
        elif part.name == "dropout":
            if not rows or rates[-1]:
                raise ValueError(f"{owner}: {framework} has dropout only after a recurrent layer, once")
            rates[-1] = dict(part.options)["rate"]
        else:
            pair = part.name == "bidirectional"
            ones = zip(part.children, weights, strict=True) if pair else [(part, weights)]
            rows.append(tuple(_one(owner, framework, spec, weights, served) for spec, weights in ones))
            rates.append(0.0)
    return Net(tuple(rows), tuple(rates), batch_major, tuple(outputs), last)


def single(owner: str, framework: str, net: Net, directions: int = 1) -> tuple[One, ...]:
    """The one row of a net, for a framework whose layers are single."""
    if any(net.rates):
        raise ValueError(f"{owner}: the layer has dropout, and {framework}'s has none of its kind")
    if len(net.rows) != 1:
        raise ValueError(f"{owner}: the layer is a stack of {len(net.rows)}, and {framework}'s is single; convert each")
    if len(net.rows[0]) > directions:
        raise ValueError(f"{owner}: {framework}'s layer has one direction; convert those of bidirectional(...) each")
    return net.rows[0]


def bare(owner: str, framework: str, net: Net) -> One:
    """The one cell of a net, for a framework that knows cells alone: no direction, and time first."""
    (one,) = single(owner, framework, net)
    if net.batch_major or one.reverse or one.ys != "all":
        raise ValueError(f"{owner}: {framework} has the cell alone, without direction or axes; wanted unroll(cell)")
    return one


def plain_directions(owner: str, framework: str, row: tuple[One, ...]) -> None:
    """Both directions give all their ys."""
    for one in row:
        if one.ys != "all":
            raise ValueError(f"{owner}: a direction is under {one.ys}(...), and {framework}'s gives all ys")


def alike(owner: str, framework: str, net: Net) -> One:
    """The first of a net's cells, for a framework where all are of one kind, one size and one dtype, in a row."""
    first = net.rows[0][0]
    for k, row in enumerate(net.rows):
        for direction, one in enumerate(row):
            width = first.n_in if k == 0 else len(net.rows[0]) * first.n_y
            came = (one.cell.name, one.kind, one.n_in, one.n, one.n_y, one.dtype, one.reverse, one.ys, len(row))
            sizes = (width, first.n, first.n_y)
            wanted = (first.cell.name, first.kind, *sizes, first.dtype, direction == 1, "all", len(net.rows[0]))
            kind = KIND[first.cell.name]
            names = ("cell", kind, "n_in", "n", "n_proj", "dtype", "reverse", "ys", "number of directions")
            for name, c, w in zip(names, came, wanted, strict=True):
                if c != w:
                    raise ValueError(f"{owner}: layer {k} has {name} {c}, and {framework} would have {w} there")
    return first


def _parts(spec: Spec, params: Any) -> list[tuple[Spec, Any]]:
    """A stack, and stacks in it, as the layers they are made of."""
    if spec.name != "stack":
        return [(spec, params)]
    return [part for child, p in zip(spec.children, params, strict=True) for part in _parts(child, p)]


def _one(owner: str, framework: str, spec: Spec, params: Any, served: dict[str, tuple[Any, ...]]) -> One:
    ys = spec.name if spec.name in ("last", "first", "flipped") else "all"
    run = spec if ys == "all" else spec.children[0]
    if run.name != "unroll":
        has = f"{framework}'s recurrent layers have no {run.name}"
        raise ValueError(f"{owner}: {has}; wanted unroll(cell), perhaps in a stack")
    cell = run.children[0]
    if cell.name == "learned_carry":
        way_out = "convert the layer without it, with params.cell, and begin from params.start"
        raise ValueError(f"{owner}: {framework} has no learned_carry, a state is an argument there; {way_out}")
    if cell.name not in served:
        raise ValueError(f"{owner}: {framework} has no {cell.name}; it has {', '.join(served)}")
    one = One(cell, params, bool(dict(run.options)["reverse"]), ys)
    if one.kind not in served[cell.name]:
        has = ", ".join(map(repr, served[cell.name]))
        why = f": {WHY[one.kind]}" if one.kind in WHY else ""
        option = KIND[cell.name]
        raise ValueError(f"{owner}: {framework}'s {cell.name} has no {option}={one.kind!r}, only {has}{why}")
    _plain(owner, framework, one)
    return one


def _plain(owner: str, framework: str, one: One) -> None:
    """Every other option of the cell stands where it changes nothing."""
    defaults = {name: p.default for name, p in inspect.signature(CELLS[one.cell.name]).parameters.items()}
    read = ("n_in", "n", "n_proj", "policy", "forget_bias", KIND[one.cell.name])
    for name, value in one.cell.options:
        if name not in read and (name not in defaults or value != defaults[name]):
            raise ValueError(f"{owner}: {framework}'s {one.cell.name} has no {name}={value!r}")
    _plain_floats(owner, framework, one.cell, one.params)


def _plain_floats(owner: str, framework: str, spec: Spec, params: Any) -> None:
    dtypes = {np.dtype(leaf.dtype) for leaf in jax.tree.leaves(params)}
    policy = dict(spec.options)["policy"]
    assert isinstance(policy, Policy)
    dtypes |= {np.dtype(d) for d in (policy.compute, policy.carry, policy.accumulate) if d is not None}
    if dtypes not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
        kinds = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"{owner}: the layer computes in {kinds}, and {framework}'s is all float32 or all float64")


# -- building


def elman_of(owner: str, w_x: Any, w_h: Any, b: Any = None, activation: Any = "tanh") -> tuple[Cell, Params]:
    """The cell with these weights [n_in, n], [n, n] and [n]; without a bias it has zeros, as in those below."""
    n_in, n = np.shape(w_x)
    cell = elman(n_in, n, activation, policy=policy_of(owner, w_x))
    return cell, _fitting(owner, cell, ElmanParams(_array(w_x), _array(w_h), _bias(w_x, b)))


def lstm_of(owner: str, w_x: Any, w_h: Any, b: Any = None, peepholes: Any = None) -> tuple[Cell, Params]:
    """The cell with these weights, blocks i, f, g, o; `peepholes` are the diagonals i, f, o."""
    n_in, n = np.shape(w_x)[0], np.shape(w_h)[0]
    cell = lstm(n_in, n, None if peepholes is None else "diagonal", policy=policy_of(owner, w_x))
    p = None if peepholes is None else Peepholes(*map(_array, peepholes))
    return cell, _fitting(owner, cell, LSTMParams(_array(w_x), _array(w_h), _bias(w_x, b), p))


def lstm_projected_of(owner: str, w_x: Any, w_h: Any, w_hr: Any, b: Any = None) -> tuple[Cell, Params]:
    """The cell with these weights, blocks i, f, g, o, whose h is projected by w_hr [n, n_proj]."""
    cell = lstm_projected(np.shape(w_x)[0], *np.shape(w_hr), policy=policy_of(owner, w_x))
    return cell, ProjectedParams(_array(w_x), _array(w_h), _bias(w_x, b), _array(w_hr), None)


def gru_of(owner: str, form: Any, w_x: Any, w_h: Any, b: Any = None, b_n: Any = None) -> tuple[Cell, Params]:
    """The cell with these weights, blocks r, z, n; b_n stands in the form "after" alone."""
    n_in, n = np.shape(w_x)[0], np.shape(w_h)[0]
    cell = gru(n_in, n, form, policy=policy_of(owner, w_x))
    inner = _bias(w_h[:, :n], b_n) if form == "after" else None
    return cell, _fitting(owner, cell, GRUParams(_array(w_x), _array(w_h), _bias(w_x, b), inner))


def dense_of(owner: str, w: Any, b: Any = None) -> tuple[Layer, layers.Dense]:
    """The layer with these weights [n_in, n] and [n]."""
    layer = layers.dense(*np.shape(w), policy=policy_of(owner, w))
    return layer, layers.Dense(_array(w), _bias(w, b))


def _fitting(owner: str, cell: Cell, params: Any) -> Params:
    """The params, if their sizes are those of one cell."""
    wanted = jax.eval_shape(cell.init, jax.random.key(0))
    checks.like(owner, "weights", params, wanted, f"w_x is {checks.describe(params.w_x)}")
    return params


def policy_of(owner: str, w_x: Any) -> Policy:
    """The default policy where it gives the weights' dtype, else one that says it."""
    dtype = np.dtype(w_x.dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{owner}: weights are {dtype}, wanted float32 or float64")
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(f"{owner}: weights are {dtype}, which JAX rounds to float32 unless jax_enable_x64 is on")
    return Policy() if dtype == default_float() else Policy(param=dtype)


def blocks(a: Any, order: tuple[int, ...], axis: int = -1) -> np.ndarray:
    """The blocks of `a` in another order."""
    parts = np.split(np.asarray(a), len(order), axis)
    return np.concatenate([parts[k] for k in order], axis)


def array_at(owner: str, argument: str, tree: Any, *place: str) -> np.ndarray:
    """The array at a place of a framework's own mapping of names."""
    at = tree
    for k, name in enumerate(place):
        if not isinstance(at, Mapping) or name not in at:
            where = ".".join([argument, *place[:k]])
            came = (
                f"has {', '.join(map(str, at)) or 'nothing'}" if isinstance(at, Mapping) else f"is {checks.short(at)}"
            )
            raise ValueError(f"{owner}: {where} {came}, wanted {name} in it")
        at = at[name]
    checks.array(owner, ".".join([argument, *place]), at, 1, "of weights")
    return np.asarray(at)


def _bias(w: Any, b: Any) -> jax.Array:
    return jnp.zeros(w.shape[1], w.dtype) if b is None else _array(b)


def _array(a: Any) -> jax.Array:
    return jnp.asarray(np.asarray(a))


# -- what linen and NNX share


def activation_of(owner: str, f: Any) -> str:
    """Our name for the function."""
    for name, ours in ACTIVATIONS.items():
        if f is ours:
            return name
    raise ValueError(f"{owner}: activation_fn is {f}, wanted one of jax's tanh, relu, sigmoid")


def plain_flax(owner: str, cell: Any, dtype: Any) -> None:
    """A Flax cell with the functions and the dtype of its weights, and no shortcut."""
    if getattr(cell, "residual", False):
        raise ValueError(f"{owner}: the cell has residual=True, which adds h inside; no cell here does")
    functions = getattr(cell, "gate_fn", jax.nn.sigmoid), cell.activation_fn
    if hasattr(cell, "gate_fn") and functions != (jax.nn.sigmoid, jnp.tanh):
        raise ValueError(f"{owner}: the cell's functions are {functions}, wanted jax.nn.sigmoid and jnp.tanh")
    if cell.dtype is not None and np.dtype(cell.dtype) != dtype:
        raise ValueError(
            f"{owner}: the cell has {dtype} weights and computes in {np.dtype(cell.dtype)}, wanted one dtype"
        )


def turned(cell: Cell, reverse: bool, keep_order: bool) -> Layer:
    """Flax's RNN: read backwards, its ys stay in the order in which they were made, unless keep_order turns them."""
    layer = unroll(cell, reverse=reverse)
    return flipped(layer) if reverse and not keep_order else layer


def turning(owner: str, framework: str, one: One) -> tuple[bool, bool]:
    """reverse and keep_order of Flax's RNN."""
    if one.ys not in (("all", "flipped") if one.reverse else ("all",)):
        raise ValueError(f"{owner}: the layer is under {one.ys}(...), and {framework}'s gives all ys")
    return one.reverse, one.reverse and one.ys == "all"


# -- rows of cells


def stacked(rows: list[tuple[Layer, Params]], rate: float = 0.0) -> tuple[Layer, Params]:
    """The rows one after another, with dropout between them; a single row stays itself."""
    if len(rows) == 1:
        return rows[0]
    all_rows: list[tuple[Layer, Params]] = []
    for row in rows:
        all_rows += [(layers.dropout(rate), ()), row] if all_rows and rate else [row]
    return layers.stack(*(layer for layer, _ in all_rows)), tuple(params for _, params in all_rows)


def directed(cells: list[tuple[Cell, Params]]) -> tuple[Layer, Params]:
    """One cell runs forward; two are the directions of one layer."""
    (cell, params), *others = cells
    if not others:
        return unroll(cell), params
    [(back, back_params)] = others
    return layers.bidirectional(unroll(cell), unroll(back, reverse=True)), layers.Directions(params, back_params)
