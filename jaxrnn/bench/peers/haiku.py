"""Haiku: dynamic_unroll of VanillaRNN, LSTM or GRU. VanillaRNN rectifies, and the GRU resets before the product."""

from typing import Any

import haiku as hk
import jax
import numpy as np

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_haiku, to_haiku
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    make, weights = to_haiku(unroll(problem.cell), problem.params)

    def unrolled(xs: Any) -> Any:
        core = make()
        return hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))[0]

    apply = hk.without_apply_rng(hk.transform(unrolled)).apply

    def as_params(gradients: Any) -> Any:
        if "vanilla_rnn/linear_1" in gradients:  # one bias here and two there, with the same gradient
            both = gradients["vanilla_rnn/linear_1"]
            gradients = gradients | {"vanilla_rnn/linear_1": both | {"b": np.zeros_like(both["b"])}}
        # Haiku's LSTM adds 1 to b_f, and from_haiku with it: a gradient has no such share.
        zeros = from_haiku(make, jax.tree.map(np.zeros_like, gradients))[1]
        return jax.tree.map(np.subtract, from_haiku(make, gradients)[1], zeros)

    return Jax(
        problem,
        Forward(
            apply=apply,
            weights=weights,
            as_params=as_params,
            algorithm=f"dynamic_unroll({make.func.__name__})",  # pyright: ignore[reportFunctionMemberAccess]
        ),
        hk.__version__,
    )
