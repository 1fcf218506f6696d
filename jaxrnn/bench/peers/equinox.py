"""Equinox: LSTMCell or GRUCell, which are single steps of single sequences: vmap and lax.scan are its user's."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_equinox, to_equinox
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    weights, rest = eqx.partition(to_equinox(unroll(problem.cell), problem.params), eqx.is_array)
    lstm = isinstance(rest, eqx.nn.LSTMCell)

    def apply(weights: Any, xs: Any) -> Any:
        cell = eqx.combine(weights, rest)
        zeros = jnp.zeros((xs.shape[1], problem.case.H), xs.dtype)

        def step(carry: Any, x: Any) -> Any:
            carry = jax.vmap(cell)(x, carry)
            return carry, carry[0] if lstm else carry

        return jax.lax.scan(step, (zeros, zeros) if lstm else zeros, xs)[1]

    return Jax(
        problem,
        Forward(
            apply=apply,
            weights=weights,
            as_params=lambda gradients: from_equinox(eqx.combine(gradients, rest))[1],
            algorithm=f"lax.scan over vmap({type(rest).__name__})",
        ),
        eqx.__version__,
    )
