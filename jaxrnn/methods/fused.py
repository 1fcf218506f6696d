"""Weight gradients as products over the whole sequence, after the loop rather than within it.

Differentiated plainly, a scan adds up the gradient of every weight at every step. Here the step is taken apart
(equations.py), its derivative gathered (tangents.py), and the loop backwards is left with one multiplication a gate
and the product that carries the gradient to the step before. All derivative modes work: the derivative is a rule of
`jax.custom_jvp`, whose linear part brings its transpose (transposable.py).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from jaxrnn.methods.chunks import checkpointed, even_steps, in_chunks
from jaxrnn.methods.derivative import Derivative, is_float
from jaxrnn.methods.equations import Equations
from jaxrnn.methods.scan import steps_an_iteration
from jaxrnn.sharding import shaped
from jaxrnn.transposable import transposable
from jaxrnn.types import Carry, Cell, Keys, Params

# A sequence whose states take more than this many bytes is worked on in chunks of so many rows (steps times batch),
# so that little memory is taken beside what the derivative keeps. Chunks cost a loop around the loop, half of all
# compilation. They save 7 % of the time at LSTM 32, 128, 256, 256 (B, T, n_in, n; 8 MiB) on one processor and cost 4 %
# on another (experiments/results/bench/log.md); at 16, 200, 32, 64 they cost 10 %.
CACHED = 16 * 2**20
ROWS = 768


def fused(
    cell: Cell, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """Run `cell` along axis 0 of `xs`, a step at a time, with a derivative that does its large products at once."""

    def run(params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None) -> tuple[Carry, PyTree[Array]]:
        return recurrence(cell.step, params, carry, cell.project(params, xs, keys))

    T, *batch = jax.tree.leaves(xs)[0].shape[:-1]
    states = T * sum(leaf.nbytes for leaf in jax.tree.leaves(carry))
    fixed = not any(jax.export.is_symbolic_dim(b) for b in batch)
    if checkpoint is None and fixed and states > CACHED:
        return in_chunks(run, params, carry, xs, keys, even_steps(T, max(1, ROWS // max(1, math.prod(batch)))))
    return checkpointed(run, params, carry, xs, keys, checkpoint)


def recurrence(
    step: Callable[..., Any], params: Params, carry: Carry, us: PyTree[Array]
) -> tuple[Carry, PyTree[Array]]:
    """lax.scan of the step, differentiated as the module says."""
    leaves, tree = jax.tree.flatten(us)
    moment = [shaped(jax.typeof(u), u.shape[1:]) for u in leaves]
    equations = None
    if leaves[0].shape[0] > 0 and not _is_explicitly_sharded(params, carry, us):
        equations = Equations(lambda p, c, u: step(p, c, tree.unflatten(u)), params, carry, moment)
    if equations is None or not equations.serves:
        return jax.lax.scan(lambda carry, u: step(params, carry, u), carry, us)
    outs = jax.eval_shape(step, params, carry, tree.unflatten(moment))
    weights, small = equations.hoist(params)
    flat = differentiable_loop(equations)(weights, small, jax.tree.leaves(carry), leaves)
    n_carry = len(equations.carry_vars)
    carry_tree, ys_tree = jax.tree.structure(outs[0]), jax.tree.structure(outs[1])
    return carry_tree.unflatten(flat[:n_carry]), ys_tree.unflatten(flat[n_carry:])


def differentiable_loop(equations: Equations) -> Callable[..., list[Array]]:
    """loop(weights, small, carry, us) -> [*carry, *ys], on lists of arrays."""

    @jax.custom_jvp
    def loop(weights: Any, small: Any, carry: Any, us: Any) -> list[Array]:
        return forward(equations, weights, small, carry, us)[0]

    @loop.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        weights, small, carry, us = primals
        derivative = Derivative(equations, weights, small, carry, us)
        outs, emitted = forward(equations, weights, small, carry, us, derivative)
        residuals = weights, small, emitted | {"u": derivative.chosen("u", us)}
        pairs = zip(primals, tangents, strict=True)
        linear = tuple([t for p, t in zip(*pair, strict=True) if is_float(p)] for pair in pairs)
        like = [out for out in outs if is_float(out)]
        made = iter(transposable(derivative.forwards, derivative.backwards, residuals, linear, like))
        return outs, [next(made) if is_float(out) else np.zeros(out.shape, jax.dtypes.float0) for out in outs]

    return loop


def forward(
    equations: Equations, weights: Any, small: Any, carry: Any, us: Any, derivative: Derivative | None = None
) -> tuple[list[Array], dict[str, list[Array]]]:
    """([*carry, *ys], what the derivative needs of every moment)."""

    once = Once()

    def body(carry: list[Array], u: list[Array]) -> tuple[list[Array], list[Array]]:
        outs, vs, squashed = equations.step(weights, small, carry, u)
        after, ys = outs[: len(carry)], outs[len(carry) :]
        kept = {}
        if derivative:
            kept = {"carry": derivative.chosen("carry", after), "squashed": derivative.chosen("squashed", squashed)}
            kept["v"] = derivative.chosen_columns(vs)
        return after, once.told_apart((ys, kept))

    last, stacks = jax.lax.scan(body, list(carry), list(us), unroll=steps_an_iteration(us[0].shape[0], carry))
    ys, kept = once.put_back(stacks)
    if derivative:  # the states before each step are those after the one before
        pairs = zip(derivative.chosen("carry", carry), kept["carry"], strict=True)
        kept["carry"] = [jax.numpy.concatenate([first[None], after[:-1]]) for first, after in pairs]
    return [*last, *ys], kept


class Once:
    """What a loop emits under several names is stacked once: an Elman network's tanh is its state and its output."""

    def told_apart(self, emitted: PyTree[Array]) -> list[Array]:
        leaves, self.tree = jax.tree.flatten(emitted)
        distinct = {id(leaf): leaf for leaf in leaves}
        self.places = [list(distinct).index(id(leaf)) for leaf in leaves]
        return list(distinct.values())

    def put_back(self, stacks: list[Array]) -> PyTree[Array]:
        return self.tree.unflatten(stacks[place] for place in self.places)


def _is_explicitly_sharded(*trees: PyTree[Array]) -> bool:
    """Whether types name mesh axes (AxisType.Explicit), which rewritten equations would have to name too."""
    return any(axis is not None for leaf in jax.tree.leaves(trees) for axis in jax.typeof(leaf).sharding.spec)
