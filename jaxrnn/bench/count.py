"""How much work a case is: floating-point operations of its matrix products, and the least bytes that must move.

A multiply-add counts as two. Products are counted in what JAX traces, those inside a loop as often as it runs, so that
every cell is counted without a formula of its own; what is done elementwise is not counted. A training step counts
three times the forward pass: each product y = a w also gives d_a = d_y w' and d_w = a' d_y.
"""

import math

import jax
import jax.numpy as jnp

from jaxrnn.analysis.counting import count
from jaxrnn.bench.case import Case
from jaxrnn.bench.problem import form
from jaxrnn.unrolling import unroll


def flops(case: Case, computes: str) -> int:
    cell = form(case, computes)
    layer = unroll(cell, "scan")
    params, carry, xs = jax.eval_shape(
        lambda key: (cell.init(key), cell.carry((case.B,)), jnp.zeros((case.T, case.B, case.I))), jax.random.key(0)
    )
    return int(count(layer.apply, params, carry, xs).products) * (3 if case.mode == "train" else 1)


def least_bytes(case: Case, computes: str) -> int:
    """Weights and x read once and the outputs written once; when training the cotangent too, and all the gradients."""
    cell = form(case, computes)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    width = jnp.dtype(case.dtype).itemsize
    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    once = weights + case.T * case.B * (case.I + case.H)
    return once * width * (2 if case.mode == "train" else 1)
