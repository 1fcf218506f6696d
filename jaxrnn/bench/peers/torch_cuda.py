"""PyTorch on an NVIDIA GPU: cuDNN, whose TF32 is on by default."""

import torch

from jaxrnn.bench.peers.torch import Eager, own
from jaxrnn.bench.problem import Problem


def build(problem: Problem) -> Eager:
    if not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no CUDA device")
    precision = "TF32 allowed in cuDNN" if torch.backends.cudnn.allow_tf32 else ""
    return own(problem, "cuda", f"cuDNN {torch.backends.cudnn.version()}", precision)
