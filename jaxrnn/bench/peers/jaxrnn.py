"""jaxrnn itself, by one of its methods."""

import importlib.metadata
from typing import Any

import jax.numpy as jnp

from jaxrnn.bench.problem import FORMS, Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.methods import auto
from jaxrnn.policy import Policy
from jaxrnn.unrolling import unroll


def build(problem: Problem, method: str, compiler_options: dict[str, Any] | None) -> Jax:
    case = problem.case
    cell = FORMS[case.cell](case.I, case.H, policy=Policy(param=jnp.dtype(case.dtype)))
    layer = unroll(cell, method)
    return Jax(
        problem,
        Forward(
            apply=lambda params, xs: layer.apply(params, layer.carry(xs.shape[1:-1], params), xs)[1],
            weights=problem.params,
            as_params=lambda gradients: gradients,
            precision="sums and carry in float32" * (case.dtype == "bfloat16"),
            algorithm=f"method {method}" + (f" (is {auto(cell)})" if method == "auto" else ""),
        ),
        importlib.metadata.version("jaxrnn"),
        compiler_options,
    )
