"""Small files, whole or not at all: a reader never meets half of one, and a full disk never costs the one before."""

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


def reason(error: Exception) -> str:
    """What went wrong, without the path that the caller says."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
