"""The bridge from Cell to Layer: checks, keys, masks, resets and reversal, then a method."""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.gated import cast_like
from jaxrnn.linear import guard_linear
from jaxrnn.masks import choose, flip, reset_backwards, zeroed
from jaxrnn.methods import METHODS, auto, serving
from jaxrnn.observer import observer
from jaxrnn.sharding import axes_of, vary
from jaxrnn.types import Carry, Cell, Keys, Layer, Linear, Memory, Params, spec


class Inputs(NamedTuple):
    """What a guarded cell reads along time."""

    xs: Float[Array, "T *batch n_in"]
    mask: Bool[Array, "T *batch"] | None
    reset: Bool[Array, "T *batch"] | None


def unroll(
    cell: Cell, method: str = "auto", reverse: bool = False, checkpoint: int | Literal["sqrt"] | None = None
) -> Layer:
    """The Layer that runs `cell` along time: xs [T, *batch, n_in] -> ys [T, *batch, n].

    method       a name of METHODS, or "auto"; all give the same values and gradients
    reverse      read time from the end to the start; ys stay at their own times
    checkpoint   keep the carry only every so many steps for the backward pass, and compute the rest again:
                 a number of steps, or "sqrt" for sqrt(T); memory falls, time grows by one forward pass

    Raises ValueError on an unknown method or checkpoint; `apply` raises it on arguments that do not fit.
    """
    if not isinstance(cell, Cell):
        raise ValueError(f"unroll: cell is a {type(cell).__name__}, wanted a Cell such as lstm(n_in, n)")
    name = cell.spec.name if cell.spec else "cell"
    checks.choice(name, "method", method, ["auto", *serving(cell)])
    checks.flag(name, reverse=reverse)
    if isinstance(checkpoint, str):
        if checkpoint != "sqrt":
            raise ValueError(f"{name}: checkpoint is {checkpoint!r}, wanted a number of steps, 'sqrt' or None")
    elif checkpoint is not None:
        checks.size(name, checkpoint=checkpoint)
    guarded = guard(cell)
    chosen = METHODS[auto(cell) if method == "auto" else method]

    # Compiled once per Layer: eager calls would otherwise trace the loop anew each time (67 ms against 0.05).
    @jax.jit
    def run(params: Params, carry: Carry, inputs: Inputs, key: PRNGKeyArray | None) -> tuple[Carry, Array]:
        # A scan's carry must vary as the rest does; were the params not to, their gradient would be summed over
        # devices at every step inside the loop rather than once after it. Noise varies as the key does.
        keys, axes = _split(key, inputs.xs.shape[0]), axes_of(params, carry, inputs)
        if axes_of(keys) - axes:
            axes |= axes_of(jax.eval_shape(guarded.project, params, inputs, keys))
        params, carry = vary((params, carry), axes)
        # scan alone need not count the steps
        serve = METHODS["scan"] if jax.export.is_symbolic_dim(inputs.xs.shape[0]) else chosen
        inputs = backwards(inputs) if reverse else inputs
        carry, ys = serve(guarded, params, carry, inputs, keys, checkpoint)
        return carry, flip(ys) if reverse else ys

    @functools.cache
    def wanted_params() -> Params:
        return jax.eval_shape(cell.init, jax.random.key(0))

    @functools.lru_cache(maxsize=16)
    def wanted_carry(batch_shape: tuple[int, ...]) -> Carry:
        return jax.eval_shape(lambda params: cell.carry(batch_shape, params), wanted_params())

    def init(key: PRNGKeyArray) -> Params:
        checks.key(name, key, optional=False)
        return cell.init(key)

    def start(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        batch_shape = checks.batch_shape(name, batch_shape)
        if params is not None:
            checks.like(name, "params", _learned(params), wanted_params(), "layer.init(key) makes them")
        return cell.carry(batch_shape, params)

    def apply(
        params: Params,
        carry: Carry,
        xs: Float[Array, "T *batch n_in"],
        *,
        key: PRNGKeyArray | None = None,
        mask: Bool[Array, "T *batch"] | None = None,
        reset: Bool[Array, "T *batch"] | None = None,
    ) -> tuple[Carry, Float[Array, "T *batch n"]]:
        checks.floats(name, "x", xs, 2, "[T, *batch, n_in]")
        checks.steps(name, "mask", mask, xs.shape[:-1])
        checks.steps(name, "reset", reset, xs.shape[:-1])
        checks.key(name, key)
        batch = xs.shape[1:-1]
        checks.like(name, "params", _learned(params), wanted_params(), "layer.init(key) makes them")
        checks.like(name, "carry", carry, wanted_carry(batch), lambda: _way_out(carry, xs))
        inputs = Inputs(xs, mask, reset)
        if (looking := observer()) is not None:
            return looking.unrolled(cell, reverse, params, carry, inputs, _split(key, xs.shape[0]))
        return run(params, carry, inputs, key)

    made_by = spec("unroll", cell, method=method, reverse=reverse, checkpoint=checkpoint)
    return Layer(init, start, apply, made_by)


def _way_out(carry: Carry, xs: Array) -> str:
    """From a carry that does not fit: another one, or, where it has the size of axis 0, time in its place."""
    batch, leaves = xs.shape[1:-1], jax.tree.leaves(carry)
    given = [leaf.shape[: len(batch)] for leaf in leaves if hasattr(leaf, "shape")]
    if len(batch) == 1 and given and set(given) == {xs.shape[:1]}:
        return f"is x {checks.describe(xs)} batch first? Axis 0 is time; batch_major(layer) reads it as it is"
    return f"layer.carry({batch}, params) makes one for x {checks.describe(xs)}, where axis 0 is time"


def _split(key: PRNGKeyArray | None, T: int) -> Keys | None:
    """The sequence key and the per-step keys, split here once, so that every method draws the same noise."""
    if key is None:
        return None
    typed = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    sequence, steps = jax.random.split(typed)
    return Keys(sequence, jax.random.split(steps, T))


def _learned(params: Params) -> Params:
    """The params as `init` makes them, without the memory that `bind` put there."""

    def is_memory(leaf: object) -> bool:
        return isinstance(leaf, Memory)

    return jax.tree.map(lambda leaf: None if is_memory(leaf) else leaf, params, is_leaf=is_memory)


def backwards(inputs: Inputs) -> Inputs:
    """As a reader from the end has them."""
    return Inputs(flip(inputs.xs), flip(inputs.mask), reset_backwards(inputs.reset, inputs.mask))


def guard(cell: Cell) -> Cell:
    """The cell with its mask and resets: it projects Inputs and steps over (u, mask, reset)."""

    def project(params: Params, inputs: Inputs, key: Keys | None = None) -> tuple[Any, Any, Any]:
        return cell.project(params, zeroed(inputs.xs, inputs.mask), key), inputs.mask, inputs.reset

    def step(params: Params, carry: Carry, moment: tuple[Any, Any, Any]) -> tuple[Carry, Array]:
        u, real, fresh = moment
        before = carry
        if fresh is not None:
            start = cast_like(cell.carry(fresh.shape, params), carry)
            before = jax.tree.map(lambda a, b: choose(fresh, a, b), start, carry)
        after, y = cell.step(params, before, u)
        if real is None:
            return after, y
        y = jax.tree.map(lambda y: zeroed(y, real), y)
        return jax.tree.map(lambda a, b: choose(real, a, b), after, carry), y

    fast = guard_linear(cell, cell.fast) if isinstance(cell.fast, Linear) else None
    return cell._replace(project=project, step=step, fast=fast)
