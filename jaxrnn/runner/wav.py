"""Sound from a wav file, by the standard library."""

import io
import wave
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from jaxrnn.runner.users_files import read_bytes

WANTED = "a wav file of 16-bit samples on one channel"


def read_wav(path: Path, rate: int, argument: str = "data") -> Float[np.ndarray, "samples"]:
    """The samples of a file, in [-1, 1). Raises ValueError where it is another kind, or of another rate [Hz]."""
    return samples(read_bytes(path, WANTED, argument), rate, f"{argument}: {path}")


def samples(raw: bytes, rate: int, told: str) -> Float[np.ndarray, "samples"]:
    """Of a wav file's bytes; `told` names it in a complaint."""
    try:
        with wave.open(io.BytesIO(raw)) as file:
            came = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{told} is no wav file: {str(error) or 'it ends too early'}; wanted {WANTED}") from None
    if came != (rate, 1, 16):
        kind = "{} Hz with {} channels of {} bits".format(*came)
        raise ValueError(f"{told} is {kind}, wanted {WANTED} at {rate} Hz")
    if len(frames) < 2:
        raise ValueError(f"{told} has no sound in it")
    return (np.frombuffer(frames[: len(frames) // 2 * 2], "<i2") / 2**15).astype(np.float32)


def write_wav(file: IO[bytes], sound: Float[np.ndarray, "samples"], rate: int) -> None:
    """Sound in [-1, 1) as such a file."""
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((sound * 2**15).astype("<i2").tobytes())
