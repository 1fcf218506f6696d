"""Every state of every recurrent layer, the gates that made it, and the gradient that reaches it.

    h_t = step(h_{t-1}, x_t) + e_t,  e_t = 0,  so that  dL/dh_t = dL/de_t

The nudge e_t is added where the step's equations make h_t, so all that reads h_t meets it: the next step, y_t, and of
an LSTM's c_t also h_t. dL/dh_t is therefore total, by all of the ways from h_t to the loss. A masked step holds the
carry, and its dL/dh_t is that of the carry held.

Layers are looked on from outside (observer.py): any Layer that is made of `unroll` is served, however it is stacked and
wrapped. Each layer is run by a plain scan, whatever its method, since they all give the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, get_opaque_trace_state
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from jaxrnn import checks
from jaxrnn.masks import choose, flip
from jaxrnn.methods.equations import bind, evaluate, flat_jaxpr, read, type_of
from jaxrnn.observer import gates_told, observed
from jaxrnn.types import Carry, Cell, Keys, Layer, Params
from jaxrnn.unrolling import Inputs, backwards, guard


class Trace(NamedTuple):
    """One recurrent layer over time, axis 0; of a layer that reads from the end too, everything stands at its own t."""

    carry: Any  # after each step, [T, *batch, n] a leaf
    ys: Array  # [T, *batch, n]
    gates: dict[str, Array]  # by the cell's names for them, [T, *batch, n]; zero where masked
    gradient: Any  # like carry: dL/dcarry_t; None without a loss
    xs: Array  # [T, *batch, n_in], what this layer read
    mask: Bool[Array, "T *batch"] | None


class Observation(NamedTuple):
    """What `observe` gives."""

    carry: Any
    ys: Array
    layers: dict[str, Trace]  # "lstm 1.forward": the cell, and the place of its params; a lone layer's has no place


def observe(
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    *,
    key: PRNGKeyArray | None = None,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    loss: Callable[[Array], Float[Array, ""]] | None = None,
) -> Observation:
    """`layer.apply`, and the states, gates and, for `loss` of its ys, gradients of every recurrent layer inside.

    A pure function of the arrays: under jit it is compiled once, called by itself anew each time.
    Raises ValueError where no layer inside is made by `unroll`, or one is applied inside a jit, scan or vmap.
    """
    checks.layer("observe", "layer", layer)

    def apply(params: Params, carry: Carry, xs: Array, where: dict[str, Any]) -> tuple[Any, tuple[Carry, Array]]:
        after, ys = layer.apply(params, carry, xs, **where)
        return (None if loss is None else loss(ys)), (after, ys)

    where = {"key": key, "mask": mask, "reset": reset}
    (_, (after, ys)), layers = observe_loss(apply, params, carry, xs, where, differentiate=loss is not None)
    return Observation(after, ys, layers)


def observe_loss(
    function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any, differentiate: bool = True
) -> tuple[tuple[Any, Any], dict[str, Trace]]:
    """(function(params, *rest), the Trace of each recurrent layer that it applies).

    function -> (loss, aux), as for jax.value_and_grad with has_aux; each layer is named by the place of its params in
    `params`. Raises ValueError as `observe`.
    """
    if differentiate:
        value, _, layers = observe_gradients(function, params, *rest, of_params=False)
        return value, layers
    calls = _found(function, params, *rest).calls
    looking = _Looking([[None for _ in call.nudges] for call in calls])
    with observed(looking):
        value = function(params, *rest)
    return value, _joined(calls, looking.noted, [None] * len(calls))


def observe_gradients(
    function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any, of_params: bool = True
) -> tuple[tuple[Any, Any], Any, dict[str, Trace]]:
    """(function(params, *rest), its gradient for params, the Trace of each recurrent layer), as `observe_loss`."""
    value, of, calls, noted, gradients = looked_on(function, params, *rest, of_params=of_params)
    return value, of, _joined(calls, noted, gradients)


def looked_on(
    function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any, of_params: bool = True
) -> tuple[tuple[Any, Any], Any, list["Call"], list["Noted"], list[Any]]:
    """What `observe_gradients` gives, call by call: (value, its gradient, the calls, their arrays, their gradients)."""
    found = _found(function, params, *rest)

    def run(nudges: list[Any], given: Params) -> tuple[Any, tuple[Any, list[Noted]]]:
        looking = _Looking(nudges)
        with observed(looking):
            value, aux = function(given if of_params else params, *rest)
        return value, (aux, looking.noted)

    nudges = [
        [None if e is None else jnp.zeros((noted.xs.shape[0], *e.shape), e.dtype) for e in call.nudges]
        for call, noted in zip(found.calls, found.noted, strict=True)
    ]
    derived = jax.value_and_grad(run, (0, 1), has_aux=True)
    (value, (aux, noted)), (gradients, of) = derived(nudges, params if of_params else None)
    return (value, aux), of, found.calls, noted, gradients


def calls(layer: Layer, params: Params, carry: Carry, xs: Any) -> tuple[list["Call"], list["Noted"]]:
    """What `observe` would see of each call of a recurrent layer, as shapes; none where there is no such layer."""

    def apply(params: Params, carry: Carry, xs: Array) -> tuple[Any, Any]:
        return None, layer.apply(params, carry, xs)

    found = _look(apply, params, carry, xs)
    return found.calls, found.noted


# -- looking on


class Call(NamedTuple):
    """What is known of one call of a layer's apply before anything is computed."""

    name: str
    cell: Cell
    reverse: bool
    given: bool  # whether it reads what the function was given
    nudges: list[Any]  # the types of the nudges, a leaf of the carry each; None for one that has no gradient


class Noted(NamedTuple):
    """The arrays of one call."""

    carry: Any
    ys: Array
    gates: dict[str, Array]
    xs: Array
    mask: Any
    reset: Any
    params: Any
    start: Any


class _Found(NamedTuple):
    calls: list[Call]
    noted: list[Noted]  # types alone


def _found(function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any) -> _Found:
    """The calls that a function makes, of which there must be one."""
    found = _look(function, params, *rest)
    if not found.calls:
        raise ValueError("observe: no layer made by unroll was applied, wanted one, and not under a jit of its own")
    return found


def _look(function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any) -> _Found:
    """The calls that a function makes, without computing it. Here every leaf of the params is an array of its own."""
    looking = _Looking(None)

    def trace(params: Params, *rest: Any) -> list[Noted]:
        looking.begin(params, rest)
        with observed(looking):
            function(params, *rest)
        return looking.noted

    noted = jax.eval_shape(trace, params, *rest)
    return _Found(looking.calls, noted)


class _Looking:
    """The observer: it runs each layer with its nudges, or finds out which there are when given none."""

    def __init__(self, nudges: list[Any] | None) -> None:
        self.nudges = nudges
        self.calls: list[Call] = []
        self.noted: list[Noted] = []
        self.in_window: list[str] = []
        self.places: dict[int, Any] = {}
        self.rest: set[int] = set()
        self.trace = get_opaque_trace_state()

    def begin(self, params: Params, rest: Any) -> None:
        """From now on a layer is known by the place of its params among these."""
        self.places = {id(leaf): path for path, leaf in jax.tree.leaves_with_path(params)}
        self.rest = {id(leaf) for leaf in jax.tree.leaves(rest)}
        self.trace = get_opaque_trace_state()

    def window(self) -> None:
        self.in_window = []

    def unrolled(
        self, cell: Cell, reverse: bool, params: Params, carry: Carry, inputs: Inputs, keys: Keys | None
    ) -> tuple[Carry, Array]:
        name = cell.spec.name if cell.spec else "cell"
        if get_opaque_trace_state() != self.trace:
            raise ValueError(
                f"observe: {name} is applied inside a jit, scan or vmap, wanted it outside, to be looked on"
            )
        given = None if self.nudges is None else self.nudges[len(self.noted)]
        last, noted, types = _run(cell, reverse, params, carry, inputs, keys, given)
        self.noted.append(noted)
        if given is None:
            self.calls.append(Call(self.named(name, params), cell, reverse, id(inputs.xs) in self.rest, types))
        return last, noted.ys

    def named(self, cell: str, params: Params) -> str:
        """The cell and the place of its params; one that is applied again with the same params gets a number."""
        known = [leaf for leaf in jax.tree.leaves_with_path(params) if id(leaf[1]) in self.places]
        place = self.place(*known[0]) if known else ""
        name = f"{cell} {place}".strip()
        self.in_window.append(name)
        again = self.in_window.count(name)
        return name if again == 1 else f"{name} ({again})"

    def place(self, within: tuple[Any, ...], leaf: Array) -> str:
        whole = self.places[id(leaf)]
        return jax.tree_util.keystr(whole[: len(whole) - len(within)], simple=True, separator=".")


def _run(
    cell: Cell, reverse: bool, params: Params, carry: Carry, inputs: Inputs, keys: Keys | None, nudges: Any
) -> tuple[Carry, Noted, list[Any]]:
    """(the last carry, what was noted, the types of the nudges); nudges None: their types are to be found."""
    types: list[Any] = []

    def project(params: Params, xs: Array, keys: Keys | None = None) -> tuple[Any, Any]:
        return cell.project(params, xs, keys), flip(nudges) if reverse else nudges

    def step(params: Params, carry: Carry, moment: tuple[Any, Any]) -> tuple[Carry, tuple[Array, dict[str, Array]]]:
        u, now = moment
        types[:], outs = nudged(cell, params, carry, u, now)
        return outs

    guarded = guard(cell._replace(project=project, step=step, fast=None))

    def body(carry: Carry, moment: Any) -> tuple[Carry, Any]:
        after, told = guarded.step(params, carry, moment)
        (_, now), real, _ = moment
        if real is not None and now is not None:  # the carry that is held is a state too
            leaves, structure = jax.tree.flatten(after)
            pairs = zip(leaves, now, strict=True)
            after = structure.unflatten(a if e is None else choose(real, a, a + e.astype(a.dtype)) for a, e in pairs)
        return after, (after, *told)

    us = guarded.project(params, backwards(inputs) if reverse else inputs, keys)
    last, along = jax.lax.scan(body, carry, us)
    states, ys, gates = flip(along) if reverse else along
    return last, Noted(states, ys, gates, inputs.xs, inputs.mask, inputs.reset, params, carry), types


def nudged(
    cell: Cell, params: Params, carry: Carry, u: Any, nudges: list[Any] | None
) -> tuple[list[Any], tuple[Carry, tuple[Array, dict[str, Array]]]]:
    """(the types of the nudges, (carry, (y, gates))) of one step whose states are nudged where they are made.

    A state that is rounded to the carry's dtype is nudged before, where y may still read it unrounded.
    """
    structures = []

    def step(params: Params, carry: Carry, u: Any) -> tuple[Carry, tuple[Array, dict[str, Array]]]:
        with gates_told() as gates:
            after, y = cell.step(params, carry, u)
        out = after, (y, dict(gates))
        structures[:] = [jax.tree.structure(out)]
        return out

    closed = flat_jaxpr(step, params, carry, u)
    jaxpr = closed.jaxpr
    makers = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    states = [_unrounded(v, makers) for v in jaxpr.outvars[: len(jax.tree.leaves(carry))]]
    types = [type_of(v) if jnp.issubdtype(type_of(v).dtype, jnp.floating) else None for v in states]
    pushes: dict[Any, Array] = {}
    late: list[tuple[int, Array]] = []  # of states that no equation makes, or that two leaves share
    for k, (v, e) in enumerate(zip(states, nudges or [], strict=False)):
        if e is not None and _made(v, makers) and v not in pushes:
            pushes[v] = e
        elif e is not None:
            late.append((k, e))

    def push(eqn: Any, values: list[Any]) -> list[Any] | None:
        if pushes.keys().isdisjoint(eqn.outvars):
            return None
        made = zip(eqn.outvars, bind(eqn, values), strict=True)
        return [out + pushes[v] if v in pushes else out for v, out in made]

    known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(jaxpr.invars, jax.tree.leaves((params, carry, u)), strict=True))
    env = evaluate(jaxpr.eqns, known, push)
    outs = [read(env, v) for v in jaxpr.outvars]
    for k, e in late:
        outs[k] = outs[k] + e.astype(outs[k].dtype)
    return types, structures[0].unflatten(outs)


def _unrounded(v: Any, makers: dict[Any, Any]) -> Any:
    """The variable that `v` is a rounding of."""
    while _made(v, makers) and makers[v].primitive.name == "convert_element_type":
        before = makers[v].invars[0]
        if isinstance(before, Literal) or not jnp.issubdtype(type_of(before).dtype, jnp.floating):
            return v
        v = before
    return v


def _made(v: Any, makers: dict[Any, Any]) -> bool:
    return not isinstance(v, Literal) and v in makers


def _joined(calls: list[Call], noted: list[Noted], gradients: list[Any]) -> dict[str, Trace]:
    """The traces by name; windows of one sequence one after the other."""
    pieces: dict[str, list[Trace]] = {}
    for call, one, gradient in zip(calls, noted, gradients, strict=True):
        like = None if gradient is None else jax.tree.structure(one.carry).unflatten(gradient)
        trace = Trace(one.carry, one.ys, one.gates, like, one.xs, one.mask)
        pieces.setdefault(call.name, []).append(trace)
    return {name: _along_time(each) for name, each in pieces.items()}


def _along_time(each: list[Any]) -> PyTree:
    return each[0] if len(each) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
