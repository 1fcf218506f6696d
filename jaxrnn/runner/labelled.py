"""Sequences with labels from an npz or a CSV file. Every complaint names the file and the place in it."""

import contextlib
import io
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from jaxrnn.runner.tables import has, is_number, listed, numbers, read_table, short
from jaxrnn.runner.users_files import most_unpacked, read_bytes

WANTED = "an npz file, or a CSV file with a header and a row a step"

# What a file leads to that nobody wrote in good faith.
BEYOND = (NotImplementedError, MemoryError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError)
Per = Literal["sequence", "step"]


class Labelled(NamedTuple):
    """All steps of all sequences, one after the other."""

    xs: Float[np.ndarray, "steps n"]
    lengths: Int[np.ndarray, "N"]
    ys: Shaped[np.ndarray, "labels"] | None  # words or numbers, one a sequence or one a step; None where not read
    per: Per
    names: list[str]  # of the features
    ids: list[str]  # of the sequences
    where: Callable[[int], str]  # of a label, for messages


def read_labelled(
    path: Path,
    sequence: str | None = None,
    label: str | None = None,
    per: Per | None = None,
    labels: bool = True,
    argument: str = "data",
    features: Sequence[str] | None = None,
) -> Labelled:
    """The file's sequences. Raises ValueError on what cannot be meant.

    labels      without them none is looked for: a table that has `features` may have one more column, the labels that
                nobody asked for
    """
    if path.suffix == ".npz":
        return read_npz(path, per, labels, argument)
    return read_csv(path, sequence, label, per, labels, argument, features)


# -- npz


def read_npz(path: Path, per: Per | None, labels: bool, argument: str) -> Labelled:
    arrays = load_arrays(path, argument)
    told = f"{argument}: {path}"
    for name in ("xs", "ys") if labels else ("xs",):
        if name not in arrays:
            raise ValueError(f"{told} has no array {name!r}; it has {listed(arrays) or 'none'}")
    xs = arrays["xs"]
    if xs.dtype.kind not in "fiub" or xs.ndim not in (2, 3) or xs.shape[-1] == 0:
        raise ValueError(f"{told}: xs is {shaped(xs)}, wanted numbers [N, T, n], or [all steps, n] with lengths")
    lengths = lengths_of(arrays, told)
    if xs.ndim == 3:
        real = np.arange(xs.shape[1]) < lengths[:, None]
        check_finite("xs", xs, real, told)
        flat = xs[real]
    else:
        check_finite("xs", xs, np.ones(len(xs), bool), told)
        flat = xs
    ys, places = None, []
    if labels:
        ys, per, places = labels_of(arrays["ys"], xs, lengths, per, told)
    names = [str(k) for k in range(xs.shape[-1])]
    ids = [str(n) for n in range(len(lengths))]
    return Labelled(
        flat.astype(np.float64),
        lengths,
        ys,
        per or "sequence",
        names,
        ids,
        lambda n: f"{told}: ys{list(map(int, places[n]))}",
    )


def load_arrays(path: Path, argument: str) -> dict[str, np.ndarray]:
    """The file's arrays; nothing in it is ever run, as unpickling would."""
    raw = read_bytes(path, WANTED, argument)
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(raw)) as parts:
        if (size := sum(part.file_size for part in parts.infolist())) > most_unpacked(raw):
            raise ValueError(
                f"{argument}: {path} unpacks to {size:,} bytes from {len(raw):,}; if that is meant, unpack it"
            )
    name = None
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            found = {}
            for name in file.files if isinstance(file, np.lib.npyio.NpzFile) else ():
                found[name] = file[name]
            if isinstance(file, np.lib.npyio.NpzFile):
                return {name: np.asarray(array) for name, array in found.items()}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, *BEYOND) as error:
        if "Object arrays" in str(error):
            raise ValueError(f"{argument}: {path}: {name} has Python objects, wanted an array of numbers") from None
    except (AttributeError, TypeError):  # one bare array, which is no context manager
        pass
    what = f"{name} cannot be read" if name else "is no npz file"
    raise ValueError(f"{argument}: {path}{':' if name else ''} {what}, wanted what numpy.savez writes")


def lengths_of(arrays: dict[str, np.ndarray], told: str) -> Int[np.ndarray, "N"]:
    xs = arrays["xs"]
    if "lengths" not in arrays:
        if xs.ndim == 2:
            raise ValueError(f"{told}: xs is {shaped(xs)} and there are no lengths, wanted them, or xs [N, T, n]")
        lengths = np.full(xs.shape[0], xs.shape[1])
    else:
        lengths = arrays["lengths"]
        if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (xs.ndim == 3 and len(lengths) != len(xs)):
            wanted = f"[{len(xs)}]" if xs.ndim == 3 else "[N]"
            raise ValueError(f"{told}: lengths is {shaped(lengths)}, wanted whole numbers {wanted}")
    most = xs.shape[1] if xs.ndim == 3 else len(xs)
    for place in np.flatnonzero((lengths < 1) | (lengths > most))[:1]:
        raise ValueError(f"{told}: lengths[{place}] is {lengths[place]}, wanted 1 to {most}")
    if xs.ndim == 2 and lengths.sum() != len(xs):
        raise ValueError(f"{told}: lengths add up to {lengths.sum()}, wanted the {len(xs)} steps of xs")
    if not len(lengths):
        raise ValueError(f"{told} has no sequence: xs is {shaped(xs)}")
    return lengths.astype(np.int64)


def labels_of(
    ys: np.ndarray, xs: np.ndarray, lengths: np.ndarray, per: Per | None, told: str
) -> tuple[np.ndarray, Per, Any]:
    """(labels, what each belongs to, the place of each in ys)."""
    N = len(lengths)
    padded, flat = xs.shape[:2], (int(lengths.sum()),)
    wanted = f"[{N}], or one a step {list(padded) if xs.ndim == 3 else list(flat)}"
    if ys.dtype.kind not in "fiubU":
        raise ValueError(f"{told}: ys is {shaped(ys)}, wanted numbers or words {wanted}")
    if ys.shape == (N,) and per != "step":
        real, per = np.ones(N, bool), "sequence"
    elif xs.ndim == 3 and ys.shape == padded and per != "sequence":
        real, per = np.arange(xs.shape[1]) < lengths[:, None], "step"
    elif xs.ndim == 2 and ys.shape == flat and per != "sequence":
        real, per = np.ones(flat, bool), "step"
    else:
        one = "" if per is None else f" for --per {per}"
        raise ValueError(f"{told}: ys is {shaped(ys)}, wanted labels {wanted}{one}")
    if ys.dtype.kind == "f":
        check_finite("ys", ys, real, told)
    return ys[real], per, np.argwhere(real)


def check_finite(name: str, values: np.ndarray, real: np.ndarray, told: str) -> None:
    """All numbers of the real steps are. Raises ValueError naming the first that is not."""
    bad = ~np.isfinite(values) & real.reshape(*real.shape, *(1,) * (values.ndim - real.ndim))
    for place in np.argwhere(bad)[:1]:
        raise ValueError(f"{told}: {name}{place.tolist()} is {values[tuple(place)]}, wanted a finite number")


def shaped(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


# -- CSV


def read_csv(
    path: Path,
    sequence: str | None,
    label: str | None,
    per: Per | None,
    labels: bool,
    argument: str,
    known: Sequence[str] | None = None,
) -> Labelled:
    table = read_table(path, WANTED, argument)
    every = list(table.columns)
    if len(every) < (3 if labels else 2):
        wanted = "the sequence, a feature and the label" if labels else "the sequence and a feature"
        raise ValueError(f"{argument}: {path} has the columns {listed(every)}, wanted at least three: {wanted}")
    named, sequence = sequence is not None, sequence or every[0]
    label = label or (every[-1] if labels else None)
    has(table, sequence, "sequence")
    if labels and label:
        has(table, label, "label")
        if label == sequence:
            raise ValueError(f"label: it is column {label!r} of {path}, as the sequence is; wanted another")
    features = [name for name in every if name not in (sequence, label)]
    features = features[:-1] if not labels and known == features[:-1] else features
    xs = np.stack([numbers(table, name) for name in features], axis=1)
    which = table.columns[sequence]
    begins = [row for row in range(len(which)) if row == 0 or which[row] != which[row - 1]]
    if not named and len(begins) == len(which) > 1:
        raise ValueError(
            f"{argument}: {path} has another {sequence!r} in each row, wanted a column that says which sequence a row "
            f"is of, named by --sequence where it is not the first; a time series is for train series --data {path}"
        )
    seen: set[str] = set()
    for row in begins:
        if which[row] in seen:
            raise ValueError(
                f"{table.where(row, sequence)}: sequence {short(which[row])} goes on after another, wanted its rows "
                "together"
            )
        seen.add(which[row])
    lengths = np.diff([*begins, len(which)])
    ids = [which[row] for row in begins]
    if not labels or label is None:
        return Labelled(xs, lengths, None, per or "sequence", features, ids, lambda n: table.where(n, ""))
    cells = [cell.strip() for cell in table.columns[label]]
    if "" in cells:
        raise ValueError(f"{table.where(cells.index(''), label)} is empty, wanted a label")
    first = set(begins)
    changes = [row for row in range(len(cells)) if row not in first and cells[row] != cells[row - 1]]
    if changes and per == "sequence":
        raise ValueError(
            f"{table.where(changes[0], label)} is {short(cells[changes[0]])}, wanted one label for all of sequence "
            f"{short(which[changes[0]])}"
        )
    per = per or ("step" if changes else "sequence")
    rows = list(range(len(cells))) if per == "step" else begins
    ys = [cells[row] for row in rows]
    if all(map(is_number, ys)):
        ys = [float(y) for y in ys]
    return Labelled(xs, lengths, np.array(ys), per, features, ids, lambda n: table.where(rows[n], label))
