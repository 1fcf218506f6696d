"""Files of the IDX format, which MNIST came in: unsigned bytes behind a header that says how many, along which axes."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxrnn.runner.users_files import read_bytes

WANTED = "an IDX file of unsigned bytes, as MNIST's are"


def read_idx(path: Path, axes: int, argument: str = "data") -> UInt8[np.ndarray, "..."]:
    """The array [*sizes]. Raises ValueError where the file is no such array, or has another number of axes."""
    raw = read_bytes(path, WANTED, argument)
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{argument}: {path} begins with the bytes {raw[:4].hex(' ')}, wanted {WANTED}")
    if raw[3] != axes:
        raise ValueError(f"{argument}: {path} has {raw[3]} axes, wanted {axes}")
    begin = 4 + 4 * axes
    sizes = np.frombuffer(raw[4:begin].ljust(4 * axes, b"\0"), ">u4").tolist()
    if len(raw) != begin + math.prod(sizes):
        raise ValueError(f"{argument}: {path} has {len(raw):,} bytes, wanted {begin + math.prod(sizes):,} for {sizes}")
    return np.frombuffer(raw, np.uint8, offset=begin).reshape(sizes)
