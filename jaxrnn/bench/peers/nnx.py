"""Flax NNX: nnx.RNN of SimpleCell, OptimizedLSTMCell or GRUCell. Its GRU lacks b_n, which begins at zero here."""

from typing import Any

import flax
import jax
from flax import nnx

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_nnx, to_nnx
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    module = to_nnx(unroll(problem.cell), problem.params)
    graph, weights, rest = nnx.split(module, nnx.Param, ...)

    def apply(weights: Any, xs: Any) -> Any:
        # A new copy in each trace: RNN draws from its keys, and may not change a count from outside.
        return nnx.merge(graph, weights, jax.tree.map(lambda a: a, rest))(xs)

    def as_params(gradients: Any) -> Any:
        params: Any = from_nnx(nnx.merge(graph, gradients, rest))[1]
        return params._replace(b_n=None) if hasattr(params, "b_n") else params

    name = type(module.cell).__name__  # pyright: ignore[reportAttributeAccessIssue]
    return Jax(
        problem,
        Forward(
            apply=apply,
            weights=weights,
            as_params=as_params,
            algorithm=f"nnx.RNN({name})",
        ),
        flax.__version__,
    )
