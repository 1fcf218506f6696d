"""PyTorch: nn.RNN, nn.LSTM or nn.GRU, on the CPU here and on the GPU in torch_cuda. Eager."""

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from jaxrnn.bench.problem import Outputs, Problem
from jaxrnn.interop import from_torch, to_torch
from jaxrnn.unrolling import unroll


def build(problem: Problem) -> "Eager":
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as XLA has
    name = "oneDNN" if torch.backends.mkldnn.is_available() else "ATen"
    reduced = torch.get_float32_matmul_precision()
    precision = "" if reduced == "highest" else f"products {reduced}"
    return own(problem, "cpu", f"{name} where it serves, {torch.get_num_threads()} threads", precision)


def own(problem: Problem, device: str, algorithm: str, precision: str) -> "Eager":
    """The step of PyTorch's own layer on a device."""
    module = to_torch(unroll(problem.cell), problem.params)

    def as_params(gradients: dict[str, torch.Tensor]) -> Any:
        filled = copy.deepcopy(module)
        filled.load_state_dict({name: _once(module, name, a) for name, a in gradients.items()})
        return from_torch(filled)[1]

    notes = {"version": torch.__version__, "algorithm": f"nn.{type(module).__name__}, {algorithm}"}
    return Eager(problem, copy.deepcopy(module), as_params, device, precision, notes)


def _once(module: torch.nn.Module, name: str, gradient: torch.Tensor) -> torch.Tensor:
    """Of two biases that are only added, and have the same gradient, one: all of b_hh but for the GRU's b_n."""
    if not name.startswith("bias_hh"):
        return gradient
    dropped = 2 * module.hidden_size if isinstance(module, torch.nn.GRU) else len(gradient)
    return torch.where(torch.from_numpy(np.arange(len(gradient)) < dropped), 0, gradient)


class Eager:
    """A step as PyTorch runs it: no compilation, gradients by autograd.grad. `module(xs)` gives (ys, anything)."""

    def __init__(
        self,
        problem: Problem,
        module: torch.nn.Module,
        as_params: Callable[[dict[str, torch.Tensor]], Any],
        device: str,
        precision: str,
        notes: dict[str, Any],
        batch_first: bool = False,
    ):
        self.device, self.train, self.batch_first = torch.device(device), problem.case.mode == "train", batch_first
        self.as_params = as_params
        dtype = getattr(torch, problem.case.dtype)
        self.module = module.to(self.device, dtype)
        arrays = (self._turned(torch.from_numpy(a)).contiguous() for a in (problem.xs, problem.cotangent))
        self.xs, self.cotangent = (a.to(self.device, dtype) for a in arrays)
        self.xs.requires_grad_(self.train)
        self.notes: dict[str, Any] = notes | {
            "precision": ", ".join(word for word in (problem.case.dtype, precision) if word),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
        }

    def _turned(self, a: torch.Tensor) -> torch.Tensor:
        return a.swapaxes(0, 1) if self.batch_first else a

    def compile(self) -> dict[str, float]:
        return {"trace_seconds": 0.0, "compile_seconds": 0.0}

    def run(self) -> None:
        if self.train:
            ys, _ = self.module(self.xs)
            loss = torch.vdot(ys.flatten(), self.cotangent.flatten())
            self.result = ys.detach(), *torch.autograd.grad(loss, [*self.module.parameters(), self.xs])
        else:
            with torch.no_grad():
                self.result = (self.module(self.xs)[0],)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def outputs(self) -> Outputs:
        ys, *gradients = (a.to("cpu", torch.promote_types(a.dtype, torch.float32)) for a in self.result)
        if not gradients:
            return Outputs(self._turned(ys).numpy())
        named = dict(zip((name for name, _ in self.module.named_parameters()), gradients[:-1], strict=True))
        return Outputs(self._turned(ys).numpy(), self.as_params(named), self._turned(gradients[-1]).numpy())

    def peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None
