"""FlashRNN, one head. It takes x W_x ready made: that product is PyTorch's, as what is timed begins at x.

Recurrent weights are [gate, head, n, n], each turned as in PyTorch, biases [gate, head, n], and the gates i, f, z, o.
In the GRU the recurrent gates are n, r, z, those of x are r, z, n, and the biases b_n, r, z, n.
"""

import importlib
import importlib.metadata
from typing import Any

import numpy as np
import torch

from jaxrnn.bench.peers.torch import Eager
from jaxrnn.bench.problem import Problem

flashrnn: Any = importlib.import_module("flashrnn").flashrnn  # here `import flashrnn` would read as this file

NRZ, RZN = (2, 0, 1), (1, 2, 0)  # the recurrent blocks of our GRU in their order, and theirs in ours


def build(problem: Problem, device: str = "cuda", backend: str = "cuda_fused") -> Eager:
    if problem.case.dtype == "float32" and backend == "cuda_fused":
        backend = "cuda"  # the fused kernels are for narrower numbers
    notes = {
        "version": importlib.metadata.version("flashrnn"),
        "algorithm": f"backend {backend}, one head",
    }
    module = Unrolled(problem, backend)
    return Eager(problem, module, module.as_params, device, "", notes, batch_first=True)


class Unrolled(torch.nn.Module):
    """The kernel with its input projection: xs [B, T, n_in] -> ys [B, T, n]."""

    def __init__(self, problem: Problem, backend: str):
        super().__init__()
        self.params, self.case, self.backend = problem.params, problem.case, backend
        self.function = problem.case.cell
        gates = self.params.w_h.shape[1] // self.case.H
        r = np.stack(np.split(self.params.w_h.T, gates))[:, None]
        b = np.stack(np.split(self.params.b, gates))[:, None]
        if self.function == "gru":
            r, b = r[list(NRZ)], np.concatenate([self.params.b_n[None, None], b])
        self.w_x, self.r, self.b = (torch.nn.Parameter(torch.tensor(a)) for a in (self.params.w_x, r, b))

    def forward(self, xs: torch.Tensor) -> Any:
        us = (xs @ self.w_x).unflatten(-1, (-1, 1, self.case.H))
        how: Any = {"function": self.function, "backend": self.backend, "dtype": self.case.dtype}
        states, last = flashrnn(us, self.r, self.b, **how)
        return states[0].flatten(-2), last

    def as_params(self, gradients: dict[str, torch.Tensor]) -> Any:
        w_x, r, b = (gradients[name].numpy() for name in ("w_x", "r", "b"))
        more = {}
        if self.function == "gru":
            r, more, b = r[list(RZN)], {"b_n": b[0, 0]}, b[1:]
        return self.params._replace(w_x=w_x, w_h=np.concatenate(list(r[:, 0])).T, b=b.ravel(), **more)
