"""Flax linen: nn.RNN of SimpleCell, OptimizedLSTMCell or GRUCell."""

import flax

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_linen, to_linen
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    module, variables = to_linen(unroll(problem.cell), problem.params)
    name = type(module.cell).__name__  # pyright: ignore[reportAttributeAccessIssue]
    return Jax(
        problem,
        Forward(
            apply=lambda variables, xs: module.apply(variables, xs),
            weights=variables,
            as_params=lambda gradients: from_linen(module, gradients)[1],
            algorithm=f"nn.RNN({name})",
        ),
        flax.__version__,
    )
