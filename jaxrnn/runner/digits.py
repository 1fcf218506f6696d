"""The Free Spoken Digit Dataset (Jackson et al.), from a folder or a tar: DIGIT_SPEAKER_NUMBER.wav, 8 kHz.

Recordings 0 to 4 of each speaker and digit are its test part, as its authors have it. Of the others, 5 to 9 are held
out here to select by.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from jaxrnn.runner.files import reason
from jaxrnn.runner.wav import samples

RATE = 8000  # Hz
NAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]+)\.wav")
NUMBERS = {"test": range(5), "valid": range(5, 10), "train": range(10, 10**9)}
WHERE = "github.com/Jakobovski/free-spoken-digit-dataset has it, in recordings"
MOST = 2**24  # bytes in a recording that is read from a tar

Sound = Float[np.ndarray, "samples"]
Takes = dict[tuple[str, int], list[Sound]]  # (speaker, digit) -> recordings, by their numbers


def read_digits(path: Path) -> tuple[dict[str, Takes], list[bytes]]:
    """Each part's recordings, and what was read. Raises ValueError where a file is not what is wanted, or missing."""
    found: dict[str, tuple[tuple[int, str, int], bytes]] = {}
    for name, raw in files(path):
        match = NAME.fullmatch(PurePosixPath(name).name)
        if match:
            key = int(match[1]), match[2], int(match[3])
            if match[0] in found:
                raise ValueError(f"data: {path} has {match[0]} twice")
            found[match[0]] = key, raw
    if not found:
        raise ValueError(f"data: {path} has no file named such as 7_george_12.wav; {WHERE}")
    takes: dict[str, Takes] = {split: {} for split in NUMBERS}
    ordered = sorted(found.items(), key=lambda each: each[1][0])
    for name, ((digit, speaker, number), raw) in ordered:
        split = next(split for split, numbers in NUMBERS.items() if number in numbers)
        takes[split].setdefault((speaker, digit), []).append(samples(raw, RATE, f"data: {path}: {name}"))
    speakers = sorted({speaker for (_, speaker, _), _ in found.values()})
    for split, numbers in NUMBERS.items():
        for speaker in speakers:
            for digit in range(10):
                if (speaker, digit) not in takes[split]:
                    wanted = f"{numbers[0]} to {numbers[-1]}" if split != "train" else "10 or more"
                    raise ValueError(f"data: {path} has no {digit}_{speaker}_ with a number of {wanted}; {WHERE}")
    return takes, [part for name, (_, raw) in ordered for part in (name.encode(), raw)]


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The wav files of a folder and of its folder recordings, or of a tar, compressed or not."""
    if path.is_dir():
        for file in sorted([*path.glob("*.wav"), *path.glob("recordings/*.wav")]):
            yield file.name, file.read_bytes()
        return
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and member.size < MOST else None
                if file and member.name.endswith(".wav"):
                    yield member.name, file.read()
    except OSError as error:
        raise ValueError(f"data: {path} cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(f"data: {path} is no tar: {' '.join(str(error).split())}; {WHERE}") from None
    except Exception as error:  # lzma and zlib have their own for bytes that end too early
        raise ValueError(f"data: {path} cannot be unpacked: {reason(error)}") from None
