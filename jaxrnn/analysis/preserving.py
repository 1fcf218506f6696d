"""A gradient that keeps its norm on its way back: the regulariser of Pascanu, Mikolov & Bengio 2013, section 3.3.

    Omega = sum_k ( ||dE/dx_{k+1} dx_{k+1}/dx_k|| / ||dE/dx_{k+1}|| - 1 )^2                                      (eq. 9)

x_k is all that the carry of one sequence holds after step k, and x_0 what it begins with. Of Omega only the immediate
derivative is taken (eq. 10): dE/dx_{k+1} and every state are constants, those within a step too, and the params count
where they multiply what depends on the past. In an Elman network, whose

    dE/dx_{k+1} dx_{k+1}/dx_k = (dE/dh_{k+1} * act'(a_{k+1})) W_h'

that is W_h alone. A step that is masked, that begins afresh, or that the loss does not reach has no part in Omega.

The paper's x is the sum before the activation; here, as in the authors' code (pascanur/trainingRNNs), it is the state
that is handed on. The paper's eq. 10 and that code compare squared norms, where its eq. 9 has none, which near 1 makes
four times as much, and the code has the mean over k where the paper has the sum, which makes 1 / T: a weight of theirs
is none of these.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import JaxprEqn, Var
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float

from jaxrnn.analysis.observing import Call, Noted, looked_on, nudged
from jaxrnn.masks import flip
from jaxrnn.methods.derivative import is_float
from jaxrnn.methods.equations import Equations, bind, evaluate, read
from jaxrnn.observer import observed
from jaxrnn.types import Carry, Cell, Keys, Params
from jaxrnn.unrolling import Inputs, backwards, guard
from jaxrnn.words import short


def regularised_gradients(
    function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any, weight: float | Float[Array, ""]
) -> tuple[tuple[Any, Any], Any, dict[str, Float[Array, ""]]]:
    """(function(params, *rest), the gradient of loss + weight * Omega for params, Omega of each recurrent layer).

    function -> (loss, aux), as for jax.value_and_grad with has_aux, in whose place this stands: any Layer of any cell
    may be applied in it. Omega is the mean over the batch of eq. 9, by the names of `observe_loss`.
    Raises ValueError on a weight that is no number of at least 0, and as `observe`.
    """
    _check(weight)
    value, gradient, calls, noted, pushes = looked_on(function, params, *rest)

    def omega(params: Params) -> tuple[Array, dict[str, Array]]:
        again = _Again(calls, noted, pushes)
        with observed(again):
            function(params, *rest)
        dtype = value[0].dtype
        return sum((each.astype(dtype) for each in again.omegas.values()), jnp.zeros((), dtype)), again.omegas

    (_, omegas), immediate = jax.value_and_grad(omega, has_aux=True)(params)
    return value, jax.tree.map(lambda g, d: g + jnp.asarray(weight, d.dtype) * d, gradient, immediate), omegas


def _check(weight: Any) -> None:
    """A number of at least 0, or an array of one; what is traced is taken as it comes."""
    array = getattr(weight, "shape", None) == () and weight.dtype.kind in "fiu"
    number = isinstance(weight, float | numbers.Integral) and not isinstance(weight, bool)
    known = not isinstance(weight, Tracer)
    if not (number or array) or (known and not 0 <= float(weight) < math.inf):
        raise ValueError(f"regularised_gradients: weight is {short(weight)}, wanted a number of at least 0")


class _Again:
    """The observer of a second pass: each layer gives what it gave, and its Omega as a function of its params."""

    def __init__(self, calls: list[Call], noted: list[Noted], pushes: list[Any]) -> None:
        self.left = zip(calls, noted, pushes, strict=True)
        self.omegas: dict[str, Array] = {}

    def window(self) -> None:
        pass

    def unrolled(
        self, cell: Cell, reverse: bool, params: Params, carry: Carry, inputs: Inputs, keys: Keys | None
    ) -> tuple[Carry, Array]:
        call, noted, push = next(self.left)
        if not len(noted.ys):
            return noted.start, noted.ys
        self.omegas[call.name] = self.omegas.get(call.name, 0) + _omega(cell, reverse, params, keys, noted, push)
        return jax.tree.map(lambda a: a[0 if reverse else -1], noted.carry), noted.ys


def _omega(
    cell: Cell, reverse: bool, params: Params, keys: Keys | None, noted: Noted, push: list[Array | None]
) -> Float[Array, ""]:
    """Of one layer; `push` is dE/dcarry_t for all t, a leaf each."""
    inputs, states = Inputs(noted.xs, noted.mask, noted.reset), noted.carry
    if reverse:
        inputs, states, push = backwards(inputs), flip(states), flip(push)
    us, mask, reset = guard(cell).project(stop_gradient(params), inputs, keys)
    before = jax.tree.map(lambda first, a: jnp.concatenate([first[None], a[:-1]]), noted.start, states)

    def at(before: Carry, u: Any, push: list[Array | None]) -> tuple[Array, Array]:
        unit, reached = _unit(_apart(cell, stop_gradient(params), before, u, push))
        return (_norm(_back(cell, params, before, u, unit)) - 1) ** 2, reached

    terms, counted = jax.vmap(at)(before, us, push)
    counted = counted if mask is None else counted & mask
    counted = counted if reset is None else counted & ~reset
    return jnp.where(counted, terms, 0).sum(0).mean()


def _apart(cell: Cell, params: Params, before: Carry, u: Any, push: list[Array | None]) -> list[Array]:
    """The derivatives for each leaf of the carry with the others held, from those with all that follows from it.

    `observe` gives dE/dc_t of an LSTM by way of h_t too: push = A' apart, where A is how the carry answers to nudges
    where its leaves are made. It has ones on its diagonal and, since leaves are made one after the other, a triangle.
    """
    total = [g for g in push if g is not None]

    def made(nudges: list[Array]) -> list[Array]:
        left = iter(nudges)
        _, (after, _) = nudged(cell, params, before, u, [None if g is None else next(left) for g in push])
        return list(filter(is_float, jax.tree.leaves(after)))

    like, answer = jax.vjp(made, [jnp.zeros_like(g) for g in total])
    apart = [g.astype(a.dtype) for g, a in zip(total, like, strict=True)]
    for _ in total[1:]:
        (pushed,) = answer(apart)
        apart = [a + (g - p).astype(a.dtype) for a, g, p in zip(apart, total, pushed, strict=True)]
    return apart


def _back(cell: Cell, params: Params, before: Carry, u: Any, push: list[Array]) -> list[Array]:
    """push dcarry_t / dcarry_{t-1}, which as a function of the params is what eq. 10 differentiates.

    Where params multiply what depends on the past, a w becomes a w + (a - a) w with the first term and the second a
    constant: the value is a w, its derivative for a is w, which the params can change, and that for w is 0.
    """
    equations = Equations(cell.step, params, before, u)
    weights, small = equations.hoist(params)
    ours = dict(zip([*equations.weight_vars, *equations.small_vars], [*weights, *small], strict=True))
    known = equations.consts | ours | dict(zip(equations.u_vars, jax.tree.leaves(u), strict=True))

    def constant(eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
        mine = [isinstance(v, Var) and v in ours for v in eqn.invars]
        if not any(mine):
            return None
        still = [stop_gradient(a) for a in values]
        if eqn.primitive.name not in ("mul", "dot_general") or sum(mine) > 1:
            return bind(eqn, [s if is_ours else a for a, s, is_ours in zip(values, still, mine, strict=True)])
        moved = [a if is_ours else a - s for a, s, is_ours in zip(values, still, mine, strict=True)]
        return [bind(eqn, still)[0] + bind(eqn, moved)[0]]

    def step(moving: list[Array]) -> list[Array]:
        left = iter(moving)
        carried = [next(left) if is_float(a) else a for a in jax.tree.leaves(before)]
        env = evaluate(equations.late, known | dict(zip(equations.carry_vars, carried, strict=True)), constant)
        return list(filter(is_float, (read(env, v) for v in equations.outvars[: len(carried)])))

    _, derivative = jax.vjp(step, list(filter(is_float, jax.tree.leaves(before))))
    return derivative(push)[0]


def _unit(push: list[Array]) -> tuple[list[Array], Bool[Array, "*batch"]]:
    """(push with norm 1 for each sequence, where it is not 0), of gradients whose squares may be 0 too."""
    largest = jnp.max(jnp.abs(jnp.concatenate(push, -1)), axis=-1)
    scaled = [a / jnp.where(largest > 0, largest, 1).astype(a.dtype)[..., None] for a in push]
    norm = _norm(scaled)
    return [a / jnp.where(largest > 0, norm, 1).astype(a.dtype)[..., None] for a in scaled], largest > 0


def _norm(leaves: list[Array]) -> Float[Array, "*batch"]:
    """Of all leaves together; where it is 0 its derivative is 0."""
    square = jnp.sum(jnp.concatenate(leaves, -1) ** 2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
