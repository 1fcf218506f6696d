"""Keras 3 on JAX: SimpleRNN, LSTM or GRU, by stateless_call. The batch comes first."""

from typing import Any

import jax
import keras
import numpy as np

from jaxrnn.bench.problem import Problem
from jaxrnn.bench.steps import Forward, Jax
from jaxrnn.interop import from_keras, to_keras
from jaxrnn.layers import batch_major
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> Jax:
    keras.config.set_floatx(problem.case.dtype)  # or inputs become float32
    filled: Any = to_keras(batch_major(unroll(problem.cell)), problem.params)
    # An orthogonal start is not to be had in bfloat16, and is replaced anyway.
    options = {"dtype": problem.case.dtype, "recurrent_initializer": "zeros"}
    layer = type(filled).from_config(filled.get_config() | options)
    layer.build((None, None, problem.case.I))
    layer.set_weights(filled.get_weights())
    weights = [variable.value for variable in layer.trainable_variables]
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def as_params(gradients: Any) -> Any:
        b = gradients[2]
        if b.ndim == 2:  # [b_x, b_h] of a GRU, with the same gradient where both are only added: counted once
            b = np.stack([b[0], np.where(np.arange(b.shape[1]) < 2 * problem.case.H, 0, b[1])])
        filled.set_weights([*gradients[:2], b])
        return from_keras(filled)[1]

    cudnn = isinstance(layer, keras.layers.LSTM) and jax.default_backend() == "gpu"
    return Jax(
        problem,
        Forward(
            apply=lambda weights, xs: layer.stateless_call(weights, fixed, xs)[0],
            weights=weights,
            as_params=as_params,
            algorithm=f"layers.{type(layer).__name__}, {'cuDNN where it serves' if cudnn else 'a scan'}",
            batch_first=True,
        ),
        keras.__version__,
    )
