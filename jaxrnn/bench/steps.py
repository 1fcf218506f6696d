"""The step of a contender, ready to be timed, and the one way in which JAX's frameworks all do it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.bench.problem import Outputs, Problem


class Step(Protocol):
    notes: dict[str, Any]  # precision, algorithm, device, version

    def compile(self) -> dict[str, float]:
        """What happens once before the first call, in seconds."""
        ...

    def run(self) -> None:
        """One step, finished when this returns."""
        ...

    def outputs(self) -> Outputs:
        """What the last run made."""
        ...

    def peak_bytes(self) -> int | None:
        """The most memory of the device in use so far, where the device keeps count."""
        ...


class Forward(NamedTuple):
    """What a framework on JAX has to say: ys = apply(weights, xs), and how gradients of its weights read as ours."""

    apply: Callable[[Any, Any], Any]
    weights: Any
    as_params: Callable[[Any], Any]
    algorithm: str
    batch_first: bool = False
    precision: str = ""  # beside the dtype of x and the weights


class Jax:
    """A training or forward step under jit, compiled ahead so that each stage is timed apart."""

    def __init__(
        self, problem: Problem, forward: Forward, version: str, compiler_options: dict[str, Any] | None = None
    ):
        self.case, self.forward, self.compiler_options = problem.case, forward, compiler_options
        xs, cotangent = self._turned((problem.xs, problem.cotangent))
        self.arguments = jax.block_until_ready(problem.cast((forward.weights, xs, cotangent)))
        self.notes = {
            "version": version,
            "algorithm": forward.algorithm,
            "precision": ", ".join(word for word in (problem.case.dtype, _products(), forward.precision) if word),
            "device": jax.devices()[0].device_kind,
        }

    def _turned(self, arrays: Any) -> Any:
        return jax.tree.map(lambda a: np.swapaxes(a, 0, 1), arrays) if self.forward.batch_first else arrays

    def compile(self) -> dict[str, float]:
        def loss(weights: Any, xs: Any, cotangent: Any) -> Any:
            ys = self.forward.apply(weights, xs)
            wide = jnp.promote_types(ys.dtype, jnp.float32)
            return jnp.vdot(ys.astype(wide), cotangent.astype(wide)), ys

        def train(weights: Any, xs: Any, cotangent: Any) -> Any:
            (_, ys), (d_weights, d_xs) = jax.value_and_grad(loss, (0, 1), has_aux=True)(weights, xs, cotangent)
            return ys, d_weights, d_xs

        def only_forward(weights: Any, xs: Any, cotangent: Any) -> Any:
            return (self.forward.apply(weights, xs),)

        began = time.perf_counter()
        lowered = jax.jit(train if self.case.mode == "train" else only_forward).lower(*self.arguments)
        traced = time.perf_counter()
        self.step = lowered.compile(compiler_options=self.compiler_options)
        done = time.perf_counter()
        self.notes["planned_bytes"] = _planned(self.step)
        return {"trace_seconds": traced - began, "compile_seconds": done - traced}

    def run(self) -> None:
        self.result = jax.block_until_ready(self.step(*self.arguments))

    def outputs(self) -> Outputs:
        ys, *gradients = jax.tree.map(lambda a: np.asarray(a, self._wide(a)), self.result)
        if not gradients:
            return Outputs(self._turned(ys))
        return Outputs(self._turned(ys), self.forward.as_params(gradients[0]), self._turned(gradients[1]))

    def _wide(self, a: Any) -> Any:
        return np.float32 if a.dtype == jnp.bfloat16 else a.dtype

    def peak_bytes(self) -> int | None:
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _products() -> str:
    asked = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if asked is None and jax.default_backend() != "cpu":
        return "products in XLA's default precision (TF32 where the GPU has it)"
    return f"products {asked}" if asked else ""


def _planned(step: Any) -> int | None:
    """What XLA means to use beside the arguments: temporaries and results."""
    plan = step.memory_analysis()
    return None if plan is None else plan.temp_size_in_bytes + plan.output_size_in_bytes
