"""A user's file as bytes or text, plain or compressed; what is wrong with it is told in one line that names it."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrnn.runner.files import reason

TEXT = "UTF-8 text"
UNPACK: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read_bytes(path: Path, wanted: str, argument: str = "data") -> bytes:
    """What is in a file, unpacked where its name ends in .gz, .bz2 or .xz.

    Raises ValueError where it cannot be read or unpacked, and where it is empty.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_fifo()):
            kind = "directory" if path.is_dir() else "device"
            raise ValueError(f"{argument}: {path} is a {kind}, wanted a file: {wanted}")
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{argument}: {path} cannot be read: {error.strerror}") from None
    if raw and path.suffix in UNPACK:
        try:
            with UNPACK[path.suffix](io.BytesIO(raw)) as file:
                packed, raw = raw, file.read(most_unpacked(raw) + 1)
        except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
            raise ValueError(f"{argument}: {path} cannot be unpacked: {reason(error)}") from None
        if len(raw) > most_unpacked(packed):
            raise ValueError(
                f"{argument}: {path} unpacks to more than {most_unpacked(packed):,} bytes from {len(packed):,}; "
                "if that is meant, unpack it"
            )
    if not raw:
        raise ValueError(f"{argument}: {path} is empty (0 bytes), wanted {wanted}")
    return raw


def most_unpacked(packed: bytes) -> int:
    """The bytes beyond which a packed file is taken for one that was made to fill the memory."""
    return 2**27 + 100 * len(packed)


def read_text(path: Path, wanted: str = TEXT, argument: str = "data") -> str:
    """The text of a UTF-8 file, its lines ended by a line feed alone.

    Raises ValueError naming the file and the first byte that is not UTF-8.
    """
    raw = read_bytes(path, wanted, argument)
    try:
        return raw.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        instead = "" if wanted == TEXT else f"; wanted {wanted}"
        bad = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ValueError(
            f"{argument}: {path} is not UTF-8 text: {bad} ({error.reason}){instead}; iconv -t UTF-8 makes it so"
        ) from None
