"""The eight variants of Greff et al. 2017, "LSTM: a search space odyssey". Each changes one thing in the vanilla LSTM,
which is lstm(peepholes="diagonal"):

    i = s(x W_xi + h W_hi + c P_i + b_i)          f = s(x W_xf + h W_hf + c P_f + b_f)
    g = tanh(x W_xg + h W_hg + b_g)               c' = f * c + i * g
    o = s(x W_xo + h W_ho + c' P_o + b_o)         h' = o * tanh(c')                     y = h'

    NIG   no input gate: i = 1              NIAF   no input activation function: g = x W_xg + h W_hg + b_g
    NFG   no forget gate: f = 1             NOAF   no output activation function: h' = o * c'
    NOG   no output gate: o = 1             CIFG   coupled input and forget gate: f = 1 - i
    NP    no peepholes                      FGR    full gate recurrence: i, f and o also see the three gates' values
                                                   of the step before, each through a matrix: + [i, f, o] W_gates

Blocks stand in the order i, f, g, o, less those that are missing, for which there are no weights. Before the first
step FGR's gates are 0.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.lstm import Peepholes
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

Variant = Literal["NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
MISSING = {"NIG": "i", "NFG": "f", "NOG": "o", "CIFG": "f"}


class Params(NamedTuple):
    w_x: Float[Array, "n_in blocks*n"]
    w_h: Float[Array, "n blocks*n"]
    b: Float[Array, "blocks*n"]
    peepholes: Peepholes | None  # of the gates that exist; None for NP
    w_gates: Float[Array, "3n 3n"] | None  # FGR: from i, f, o to i, f, o


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]


class CarryWithGates(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]
    i: Float[Array, "*batch n"]
    f: Float[Array, "*batch n"]
    o: Float[Array, "*batch n"]


def lstm_variant(n_in: int, n: int, variant: Variant, forget_bias: float = 1.0, *, policy: Policy = Policy()) -> Cell:
    """The LSTM cell with one change: x [*batch, n_in] -> y = h [*batch, n].

    `forget_bias` is where b_f begins, if there is one. Raises ValueError on sizes below 1 or an unknown variant.
    """
    checks.size("lstm_variant", n_in=n_in, n=n)
    checks.policy("lstm_variant", policy)
    checks.number("lstm_variant", forget_bias=forget_bias)
    checks.choice("lstm_variant", "variant", variant, VARIANTS)
    dtype = policy.param_dtype
    blocks = [block for block in "ifgo" if block != MISSING.get(variant)]
    peeping = [gate for gate in blocks if gate != "g" and variant != "NP"]

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h, key_gates, *key_p = jax.random.split(key, 6)
        keys = dict(zip("ifo", key_p, strict=True))
        seen = {gate: initializers.uniform(keys[gate], (n,), n, dtype) for gate in peeping}
        return Params(
            w_x=initializers.uniform(key_x, (n_in, len(blocks) * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, len(blocks), dtype),
            b=initializers.gate_bias(n, tuple(forget_bias if k == "f" else 0.0 for k in blocks), dtype),
            peepholes=Peepholes(seen.get("i"), seen.get("f"), seen.get("o")) if peeping else None,
            w_gates=initializers.uniform(key_gates, (3 * n, 3 * n), 3 * n, dtype) if variant == "FGR" else None,
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry | CarryWithGates:
        kind, dtype = CarryWithGates if variant == "FGR" else Carry, policy.carry_dtype(params)
        return kind(*(jnp.zeros((*batch_shape, n), dtype) for _ in kind._fields))  # each may be donated

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm_variant", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def gate(a: Array, c: Array, peephole: Array | None) -> Array:
        return jax.nn.sigmoid(a if peephole is None else a + c * peephole)

    def moment(small: Params, c: Array, a: Array) -> tuple[Array, ...]:
        """h', c' and the gates, from all that is summed before them."""
        sums = dict(zip(blocks, jnp.split(a, len(blocks), axis=-1), strict=True))
        p = small.peepholes or Peepholes(None, None, None)
        one = jnp.ones((), a.dtype)
        i = gate(sums["i"], c, p.i) if "i" in sums else one
        f = gate(sums["f"], c, p.f) if "f" in sums else 1 - i if variant == "CIFG" else one
        g = sums["g"] if variant == "NIAF" else jnp.tanh(sums["g"])
        c = f * c + i * g
        o = gate(sums["o"], c, p.o) if "o" in sums else one
        there = {"i": i, "f": f, "g": g, "o": o}
        named(blocks, [there[block] for block in blocks])
        return o * (c if variant == "NOAF" else jnp.tanh(c)), c, i, f, o

    def gates(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        h, c, *_ = moment(small, carry.c, u + v)
        return Carry(h, c), h

    def recurrent_gates(params: Any, carry: CarryWithGates, u: Array, v: Array) -> tuple[CarryWithGates, Array]:
        before = jnp.concatenate([carry.i, carry.f, carry.o], axis=-1)
        i, f, o = jnp.split(policy.dot(before, params.w_gates).astype(u.dtype), 3, axis=-1)
        new = CarryWithGates(*moment(params, carry.c, u + v + jnp.concatenate([i, f, jnp.zeros_like(i), o], axis=-1)))
        return new, new.h

    made_by = spec("lstm_variant", n_in=n_in, n=n, variant=variant, forget_bias=forget_bias, policy=policy)
    if variant == "FGR":  # a second product with the past: not a Gated cell, though written the same way
        both = Gated(product=lambda params: params.w_h, gates=recurrent_gates)
        return Cell(init, carry, project, derive_step(both, policy, small=lambda params: params), None, made_by)
    gated = Gated(product=lambda params: params.w_h, gates=gates)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
