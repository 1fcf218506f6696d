"""Small files, whole or not at all: a reader never meets half of one, and a full disk never costs the one before.

What is read may come from anywhere: no device is read for ever, and no message has what a terminal would obey.
"""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Raises OSError that names the path."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {reason(error)}") from None


def read_small(path: Path, most: int = 2**28) -> str:
    """A UTF-8 file of at most so many bytes. Raises OSError, and ValueError where it is no such file."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    if (size := path.stat().st_size) > most:
        raise ValueError(f"it has {size:,} bytes, wanted at most {most:,}")
    return path.read_text(encoding="utf-8")


def printable(words: object) -> str:
    """The first line, with what a terminal would obey, or not show, as an escape."""
    line = str(words).partition("\n")[0]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[:2000])
    return shown + "..." * (len(line) > 2000)


def told(error: Exception) -> str:
    """An error as its reader wants it: the file and what went wrong with it, without a number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def reason(error: Exception) -> str:
    """What went wrong, without the path that the caller says."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
