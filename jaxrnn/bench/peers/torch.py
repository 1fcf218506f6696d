"""PyTorch: nn.RNN, nn.LSTM or nn.GRU, on the CPU here and on the GPU in torch_cuda. Eager."""

import copy
import os
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
    return Eager(problem, "cpu", f"{name} where it serves, {torch.get_num_threads()} threads", precision)


class Eager:
    """A step as PyTorch runs it: no compilation, gradients by autograd.grad."""

    def __init__(self, problem: Problem, device: str, algorithm: str, precision: str):
        self.device, self.train = torch.device(device), problem.case.mode == "train"
        dtype = getattr(torch, problem.case.dtype)
        self.module = to_torch(unroll(problem.cell), problem.params).to(self.device, dtype)
        self.xs, self.cotangent = (torch.tensor(a).to(self.device, dtype) for a in (problem.xs, problem.cotangent))
        self.xs.requires_grad_(self.train)
        self.notes: dict[str, Any] = {
            "version": torch.__version__,
            "algorithm": f"nn.{type(self.module).__name__}, {algorithm}",
            "precision": ", ".join(word for word in (problem.case.dtype, precision) if word),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
        }

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
            return Outputs(ys.numpy())
        names = [name for name, _ in self.module.named_parameters()]
        filled = copy.deepcopy(self.module).to("cpu", gradients[0].dtype)
        filled.load_state_dict({name: self._once(name, a) for name, a in zip(names, gradients[:-1], strict=True)})
        return Outputs(ys.numpy(), from_torch(filled)[1], gradients[-1].numpy())

    def _once(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Of two biases that are only added, and have the same gradient, one: all of b_hh but for the GRU's b_n."""
        if not name.startswith("bias_hh"):
            return gradient
        kept = 2 * self.module.hidden_size if isinstance(self.module, torch.nn.GRU) else len(gradient)
        return torch.where(torch.from_numpy(np.arange(len(gradient)) < kept), 0, gradient)

    def peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None
