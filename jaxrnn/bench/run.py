"""The benchmark itself: for each case all contenders built one after another, then timed in turn, round by round."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxrnn.bench.case import Case, Contender, cases, contenders
from jaxrnn.bench.crew import FLOAT64, ON_CPU, Died, Worker, ask, crew, start
from jaxrnn.bench.options import Bench
from jaxrnn.bench.results import Row, append, create, summary
from jaxrnn.bench.worker import WAKING_SECONDS
from jaxrnn.runner.progress import progress

LEAST_ROUNDS = 5
PAUSE_SECONDS = 0.02  # the threads of the one before stop spinning before the next is timed

Show = Callable[[str], None]


def run(options: Bench, console: Console) -> Path:
    """Measure everything asked for; the file of results."""
    every, whom = cases(options), contenders(options)
    jobs = [(case, [one for one in whom if one.computes(case.cell)]) for case in every]
    path = create(options.out)
    with crew() as workers:
        workers.append(start())
        try:
            session = {"kind": "session", "command": _command(), "started": _now(), "waking_seconds": WAKING_SECONDS}
            session |= ask(workers[0], "machine")
        except Died as error:
            raise RuntimeError(f"bench: the machine could not be measured: {error}") from None
    append(path, session)
    total = sum(len(those) for _, those in jobs)
    with progress(console, "bench", 3 * total) as show, tempfile.TemporaryDirectory() as scratch:
        count = iter(range(1, 3 * total + 1))  # a contender counts as it is built, timed and checked
        for number, (case, those) in enumerate(jobs):
            try:
                rows = list(
                    measure(case, those, options, session, f"{scratch}/{number}", lambda w: show(next(count), w))
                )
            except Died as error:
                rows = [_row(case, one, {"status": "failed", "reason": f"the case: {error}"}) for one in those]
                for _ in range(3 * len(those)):
                    next(count)
            for row in rows:
                append(path, row)
            for file in Path(scratch).iterdir():
                file.unlink()
    return path


def measure(
    case: Case, those: list[Contender], options: Bench, session: Row, scratch: str, show: Show
) -> Iterator[Row]:
    """A row for each contender, whether it came to its end or not."""
    forms = {one.computes(case.cell) or "": f"{scratch}-{one.computes(case.cell)}" for one in those}
    work = prepare(case, forms)
    with crew() as workers:
        rows: list[Row] = []
        running: list[tuple[Row, Worker]] = []
        for one in those:
            workers.append(start(FLOAT64 if case.dtype == "float64" else {}, one.framework))
            rows.append(_row(case, one, {"status": "ok", "rounds": [], **work[one.computes(case.cell)]}))
        for worker, row in zip(workers, rows, strict=True):
            with _failing(row):
                ask(worker, "ready")  # all have imported before one is timed
        for one, worker, row in zip(those, workers, rows, strict=True):
            show(f"{case.title}: {one.name} compiles")
            computes = one.computes(case.cell) or ""
            if row["status"] != "ok":
                continue
            with _failing(row):
                row |= ask(worker, "build", case=case, contender=one, computes=computes, path=forms[computes])
                running.append((row, worker))
        interleave(running, options, lambda name: show(f"{case.title}: {name} timed"), len(those))
        for row, worker in zip(rows, workers, strict=True):
            if row["status"] == "ok":
                row |= summary(row["rounds"], case.T, case.B, row, session)
                try:
                    row |= ask(worker, "check")
                except Died as error:  # float64 may not have fitted: the times stand without it
                    row |= {"errors": {}, "unchecked": str(error)}
            show(f"{case.title}: {row['name']} done")
        yield from rows


def prepare(case: Case, forms: dict[str, str]) -> dict[str | None, Row]:
    """Draw the case's numbers and solve them; how much work each form is. Raises Died."""
    with crew() as workers:
        workers += [start(FLOAT64 | ON_CPU), start()]
        drawing, counting = workers
        ask(drawing, "problem", case=case, forms=forms, solve=False)
        with contextlib.suppress(Died):  # then there is no error to tell
            ask(drawing, "problem", case=case, forms=forms, solve=True)
        told = ask(counting, "case", case=case, forms=list(forms))
    return {name: {**work, "product_flops": told["product_flops"]} for name, work in told["work"].items()}


def interleave(running: list[tuple[Row, Worker]], options: Bench, show: Show, total: int) -> None:
    """A B C A B C ...: one timed run each in turn. Whoever dies is out, and whoever has used up its time."""
    rounds = LEAST_ROUNDS if options.smoke else options.rounds
    shown = 0
    for number in range(rounds):
        for row, worker in running:
            spent = sum(max(seconds, WAKING_SECONDS) + seconds for seconds in row["rounds"])
            if row["status"] != "ok" or (number >= LEAST_ROUNDS and spent > options.seconds):
                continue
            time.sleep(PAUSE_SECONDS)
            with _failing(row):
                row["rounds"].append(ask(worker, "time")["seconds"])
        while shown < total * (number + 1) // rounds:
            shown += 1
            show(f"round {number + 1} of {rounds}")


@contextlib.contextmanager
def _failing(row: Row) -> Iterator[None]:
    try:
        yield
    except Died as error:
        row |= {"status": "failed", "reason": str(error)}


def _row(case: Case, one: Contender, more: dict[str, Any]) -> Row:
    return {
        "kind": "row",
        **case._asdict(),
        **one._asdict(),
        "name": one.name,
        "computes": one.computes(case.cell),
        **more,
    }


def _command() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
