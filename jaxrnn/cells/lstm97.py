"""Long short-term memory as it was first published: Hochreiter & Schmidhuber 1997. No forget gate, cells in blocks that
share an input and an output gate, and gates that see the gates.

    i = s(x W_xi + p W_pi + b_i)        g(a) = 4 s(a) - 2, in [-2, 2]        c' = c + i * g(x W_xc + p W_pc + b_c)
    o = s(x W_xo + p W_po + b_o)        k(a) = 2 s(a) - 1, in [-1, 1]        h' = o * k(c')          y = h'

p = [h, i, o] of the step before: cells and gates alike receive the inputs, the cells' outputs and the gates' values,
all 0 before the first step. (k is the paper's h.) i and o are [blocks], c and h are [n], and each gate serves the
n / blocks cells that follow one another in its block. Sums stand in the order i, o, c in the weights.

Which units have biases differs from task to task in the paper, and with it the number of weights in its Table 10:
bias="all", "gates" or None. It draws weights and most biases from small uniform intervals, (-0.1, 0.1) in most tasks,
and begins the biases of input or output gates negative, a different one for each block, so that blocks come into use
one after another: input_bias and output_bias take a number or a tuple of one a block. Its gradients are truncated; ours
are not.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

BIASES = ("all", "gates", None)


class Params(NamedTuple):
    w_x: Float[Array, "n_in 2*blocks+n"]
    w_h: Float[Array, "n 2*blocks+n"]
    w_gates: Float[Array, "2*blocks 2*blocks+n"]
    b: Float[Array, "2*blocks+n"] | Float[Array, "2*blocks"] | None


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]
    i: Float[Array, "*batch blocks"]
    o: Float[Array, "*batch blocks"]


def one_a_block(owner: str, name: str, value: float | tuple[float, ...], blocks: int) -> tuple[float, ...]:
    """Where the biases of a gate begin, one for each block."""
    values = value if isinstance(value, tuple) else (value,) * blocks
    for each in values:
        checks.number(owner, **{name: each})
    if len(values) != blocks:
        raise ValueError(f"{owner}: {name} has {len(values)} numbers, wanted one for each of {blocks} blocks")
    return values


def lstm97(
    n_in: int,
    n: int,
    blocks: int | None = None,
    bias: Literal["all", "gates"] | None = "all",
    input_bias: float | tuple[float, ...] = 0.0,
    output_bias: float | tuple[float, ...] = 0.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The LSTM cell of 1997: x [*batch, n_in] -> y = h [*batch, n], in `blocks` blocks of n / blocks cells.

    Unless `blocks` is given every cell has gates of its own. Raises ValueError on sizes below 1, blocks of unequal
    size, an unknown bias, or starts for biases that do not fit.
    """
    checks.size("lstm97", n_in=n_in, n=n)
    checks.policy("lstm97", policy)
    checks.choice("lstm97", "bias", bias, BIASES)
    K = n if blocks is None else blocks
    checks.size("lstm97", blocks=K)
    if n % K:
        raise ValueError(f"lstm97: n is {n}, wanted a multiple of blocks, which is {K}")
    begun = {"input_bias": input_bias, "output_bias": output_bias}
    starts = sum((one_a_block("lstm97", name, at, K) for name, at in begun.items()), ())
    if bias is None and any(starts):
        raise ValueError("lstm97: input_bias and output_bias say where biases begin, and bias=None leaves none")
    dtype = policy.param_dtype
    sums = 2 * K + n

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h, key_gates = jax.random.split(key, 3)
        b = {None: None, "gates": starts, "all": starts + (0.0,) * n}[bias]
        return Params(
            w_x=initializers.uniform(key_x, (n_in, sums), n_in, dtype),
            w_h=initializers.uniform(key_h, (n, sums), sums, dtype),
            w_gates=initializers.uniform(key_gates, (2 * K, sums), sums, dtype),
            b=None if b is None else jnp.asarray(b, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        kept = policy.carry_dtype(params)
        h, c, i, o = (jnp.zeros((*batch_shape, size), kept) for size in (n, n, K, K))  # each may be donated
        return Carry(h=h, c=c, i=i, o=o)

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm97", xs, params.w_x.shape[0])
        b = params.b
        if b is not None:
            b = jnp.pad(b, (0, sums - b.size))  # cells that have no bias
        return policy.affine(xs, params.w_x, b)

    def gates(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        before = jnp.concatenate([carry.i, carry.o], axis=-1)
        a = u + v + policy.dot(before, params.w_gates).astype(u.dtype)
        i, o = named("io", jnp.split(jax.nn.sigmoid(a[..., : 2 * K]), 2, axis=-1))
        c = carry.c + jnp.repeat(i, n // K, axis=-1) * (4 * jax.nn.sigmoid(a[..., 2 * K :]) - 2)
        h = jnp.repeat(o, n // K, axis=-1) * (2 * jax.nn.sigmoid(c) - 1)
        return Carry(h, c, i, o), h

    # A second product with the past: not a Gated cell, though written the same way.
    step = derive_step(Gated(lambda params: params.w_h, gates), policy, small=lambda params: params)
    made_by = spec("lstm97", n_in=n_in, n=n, blocks=K, bias=bias, **begun, policy=policy)
    return Cell(init, carry, project, step, None, made_by)
