"""Results as JSON lines: a line for the session (command, commit, versions, hardware), then one for each row.

Every line is whole and is written as it comes, so that a benchmark which is interrupted keeps what it has.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def create(out: Path | None) -> Path:
    """The file to write, which must be new. Raises ValueError where it is there already or cannot be made."""
    path = out or Path("runs") / f"bench-{time.strftime('%Y%m%d-%H%M%S')}" / "results.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("x").close()
    except FileExistsError:
        raise ValueError(f"out: {path} is there already, wanted a new file; choose another --out") from None
    except OSError as error:
        raise ValueError(f"out: {path} cannot be made: {error.strerror}") from None
    return path


def append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def read(path: Path) -> tuple[Row, list[Row]]:
    """(session, rows). Raises ValueError on a file that is not one of results."""
    try:
        session, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise ValueError(f"bench: {path} is no file of results: {error}") from None
    if not isinstance(session, dict) or session.get("kind") != "session":
        raise ValueError(f"bench: {path} is no file of results: its first line is no session")
    if not rows:
        raise ValueError(f"bench: {path} has no rows: it was interrupted before its first case ended")
    return _under_the_fastest_product(session, rows)


def _under_the_fastest_product(session: Row, rows: list[Row]) -> tuple[Row, list[Row]]:
    """With the roofline at the fastest product that was met: the first may have been measured at a bad moment."""
    fastest = max(row.get("product_flops", 0) for row in rows)
    if fastest <= session["peak_flops"]:
        return session, rows
    session = session | {"peak_flops": fastest}

    def under(row: Row) -> Row:
        return row | {"roofline_share": floor(row, session) / row["median"]} if row["status"] == "ok" else row

    return session, [under(row) for row in rows]


def floor(work: Row, session: Row) -> float:
    """The seconds that products and memory allow for."""
    return max(work["flops"] / session["peak_flops"], work["least_bytes"] / session["bandwidth"])


def summary(seconds: list[float], T: int, B: int, work: Row, session: Row) -> Row:
    """What the timed runs come to; shares are of float32's rates whatever the dtype."""
    p10, median, p90 = quantiles(seconds)
    return {
        "median": median,
        "p10": p10,
        "p90": p90,
        "microseconds_per_step": 1e6 * median / T,
        "tokens_per_second": T * B / median,
        "product_share": work["flops"] / median / work["product_flops"],
        "roofline_share": floor(work, session) / median,
    }


def quantiles(seconds: list[float]) -> tuple[float, float, float]:
    """(p10, median, p90)"""
    if len(seconds) == 1:
        return seconds[0], seconds[0], seconds[0]
    cuts = statistics.quantiles(seconds, n=10, method="inclusive")
    return cuts[0], statistics.median(seconds), cuts[-1]
