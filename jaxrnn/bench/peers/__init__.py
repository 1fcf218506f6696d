"""The peers, a file each with `build(problem) -> Step`. A new one is its file and its line in PEERS.

`cells` says which of our cells' equations the peer computes where a cell is asked for. Haiku's GRU resets before the
product, and its Elman network rectifies: both are timed, and held against what they compute.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

NONE = "none"


class Peer(NamedTuple):
    module: str  # what is imported
    package: str  # what is installed
    cells: dict[str, str]
    gpu: bool = False  # needs an NVIDIA GPU


THREE = {"elman": "elman", "lstm": "lstm", "gru": "gru"}
PEERS = {
    "linen": Peer("flax", "flax", THREE),
    "nnx": Peer("flax", "flax", THREE),
    "equinox": Peer("equinox", "equinox", {"lstm": "lstm", "gru": "gru"}),
    "haiku": Peer(
        "haiku", "dm-haiku", {"elman": "elman_relu", "lstm": "lstm", "gru": "gru_before", "gru_before": "gru_before"}
    ),
    "keras": Peer("keras", "keras", THREE | {"gru_before": "gru_before"}),
    "torch": Peer("torch", "torch", THREE | {"lstm_projected": "lstm_projected"}),
    "torch_cuda": Peer("torch", "torch", THREE | {"lstm_projected": "lstm_projected"}, gpu=True),
    "flashrnn": Peer("flashrnn", "flashrnn", THREE, gpu=True),
    "cudnn": Peer("jax", "jax[cuda]", {"lstm": "lstm"}, gpu=True),
}


def installed(name: str) -> bool:
    """Whether the peer can run here."""
    peer = PEERS[name]
    gpu = not peer.gpu or Path("/dev/nvidiactl").exists()
    return gpu and importlib.util.find_spec(peer.module) is not None
