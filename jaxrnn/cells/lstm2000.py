"""Long short-term memory as the forget gate was first published with it: Gers, Schmidhuber & Cummins 2000. Cells in
blocks that share their gates, and gates that do not see the gates.

    i = s(x W_xi + h W_hi + b_i)          g(a) = 4 s(a) - 2, in [-2, 2]          c' = f * c + i * g(x W_xc + h W_hc)
    f = s(x W_xf + h W_hf + b_f)          k(a) = 2 s(a) - 1, in [-1, 1]          h' = o * k(c')              y = h'
    o = s(x W_xo + h W_ho + b_o)

(k is the paper's h.) i, f and o are [blocks], c and h are [n], and each gate serves the n / blocks cells that follow
one another in its block. Sums stand in the order i, f, o, c in the weights; the gates alone have biases. Without the
forget gate, f = 1 and no weights, this is what the paper compares it with.

The paper begins the biases of input and output gates negative and those of forget gates positive, each block's further
from 0 than the one's before: each takes a number or a tuple of one a block. Its gradients are truncated; ours are not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.lstm97 import one_a_block
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in gates*blocks+n"]
    w_h: Float[Array, "n gates*blocks+n"]
    b: Float[Array, "gates*blocks"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]


def lstm2000(
    n_in: int,
    n: int,
    blocks: int | None = None,
    input_bias: float | tuple[float, ...] = 0.0,
    forget_bias: float | tuple[float, ...] | None = 1.0,
    output_bias: float | tuple[float, ...] = 0.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The LSTM cell of 2000: x [*batch, n_in] -> y = h [*batch, n], in `blocks` blocks of n / blocks cells.

    Unless `blocks` is given every cell has gates of its own; `forget_bias=None` leaves the forget gate out.
    Raises ValueError on sizes below 1, blocks of unequal size, or starts for biases that do not fit.
    """
    checks.size("lstm2000", n_in=n_in, n=n)
    checks.policy("lstm2000", policy)
    K = n if blocks is None else blocks
    checks.size("lstm2000", blocks=K)
    if n % K:
        raise ValueError(f"lstm2000: n is {n}, wanted a multiple of blocks, which is {K}")
    begun = {"input_bias": input_bias, "forget_bias": forget_bias, "output_bias": output_bias}
    starts = [one_a_block("lstm2000", name, at, K) for name, at in begun.items() if at is not None]
    dtype = policy.param_dtype
    sums, names = len(starts) * K + n, "ifo" if len(starts) == 3 else "io"

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, sums), n_in, dtype),
            w_h=initializers.uniform(key_h, (n, sums), sums, dtype),
            b=jnp.asarray(sum(starts, ()), dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        kept = policy.carry_dtype(params)
        return Carry(h=jnp.zeros((*batch_shape, n), kept), c=jnp.zeros((*batch_shape, n), kept))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm2000", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, jnp.pad(params.b, (0, n)))

    def gates(small: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        s = jax.nn.sigmoid(u + v)
        of_blocks = jnp.split(s[..., :-n], len(starts), axis=-1)
        i, *f, o = named(names, [jnp.repeat(gate, n // K, axis=-1) for gate in of_blocks])
        kept = f[0] * carry.c if f else carry.c
        c = kept + i * (4 * s[..., -n:] - 2)
        h = o * (2 * jax.nn.sigmoid(c) - 1)
        return Carry(h, c), h

    gated = Gated(product=lambda params: params.w_h, gates=gates)
    made_by = spec("lstm2000", n_in=n_in, n=n, blocks=K, **begun, policy=policy)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
