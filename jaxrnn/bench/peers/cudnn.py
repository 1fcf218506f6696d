"""jax.experimental.rnn: cuDNN's LSTM under JAX, float32 alone. The batch comes first; the weights are one vector."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_cudnn, to_cudnn
from jaxrnn.layers import batch_major
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    case = problem.case
    if case.dtype != "float32":
        raise ValueError(f"jax.experimental.rnn computes in float32, not in {case.dtype}")

    def apply(weights: Any, xs: Any) -> Any:
        start = jnp.zeros((1, case.B, case.H), xs.dtype)
        lengths = jnp.full(case.B, case.T, jnp.int32)
        sizes = {"input_size": case.I, "hidden_size": case.H, "num_layers": 1, "dropout": 0.0, "bidirectional": False}
        ys, _, _ = rnn.lstm(xs, start, start, weights, lengths, **sizes)  # pyright: ignore[reportGeneralTypeIssues]
        return ys

    def as_params(gradients: Any) -> Any:
        params: Any = from_cudnn(gradients, case.I, case.H)[1]
        return params._replace(b=params.b / 2)  # the sum of two biases' gradients, which are the same

    return Jax(
        problem,
        Forward(
            apply=apply,
            weights=to_cudnn(batch_major(unroll(problem.cell)), problem.params),
            as_params=as_params,
            algorithm="jax.experimental.rnn.lstm, cuDNN's standard algorithm",
            batch_first=True,
        ),
        jax.__version__,
    )
