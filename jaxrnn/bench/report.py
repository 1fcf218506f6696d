"""What `jaxrnn bench` does with results: shows them, writes table and plots beside them, compares, fills in README."""

from pathlib import Path

from rich.console import Console

from jaxrnn.bench import tables
from jaxrnn.bench.compare import broken, changes, slower
from jaxrnn.bench.options import Bench
from jaxrnn.bench.results import Row, read
from jaxrnn.bench.worker import WAKING_SECONDS


def bench(options: Bench, console: Console) -> None:
    """Raises ValueError on what cannot be asked for, RuntimeError where something has become slower."""
    if options.readme and not options.show:
        raise ValueError("bench: readme wants results to show: jaxrnn bench --show FILE --readme README.md")
    older = None
    if options.compare:  # found to be bad before an hour's measurements
        before, older = read(options.compare)
        same_measurement(before, read(options.show)[0] if options.show else {"waking_seconds": WAKING_SECONDS})
    if options.show:
        path = options.show
    else:
        from jaxrnn.bench.run import run

        path = run(options, console)
    session, rows = read(path)
    table = tables.markdown(session, rows)
    if options.readme:
        tables.write_readme(options.readme, table)
    elif options.markdown:
        print(table, end="")
    else:
        narrow = console.is_terminal and console.width < tables.WIDTH
        if not narrow:
            console.width = max(console.width, tables.WIDTH)
        for each in tables.terminal(rows, tables.NARROW if narrow else tuple(tables.COLUMNS)):
            console.print(each)
    if options.readme or not options.show:
        written = write(path, table, rows, session)
        console.out(f"bench: results in {path}, beside it {', '.join(file.name for file in written)}", highlight=False)
    if older is not None:
        compare(older, rows, console)


def write(path: Path, table: str, rows: list[Row], session: Row) -> list[Path]:
    """The table and the plots, beside the results and named after them."""
    from jaxrnn.bench import plots

    beside = path.with_suffix(".md")
    beside.write_text(table, encoding="utf-8")
    return [beside, *plots.draw(path.with_suffix(""), rows, session)]


def same_measurement(before: Row, now: Row) -> None:
    """Raises ValueError where contenders did not run equally long before each of their timed runs."""
    then, here = (session.get("waking_seconds", 0) for session in (before, now))
    if then != here:
        raise ValueError(
            f"compare: the older runs were timed after {then:g} s of others, these after {here:g}; measure again"
        )


def compare(older: list[Row], rows: list[Row], console: Console) -> None:
    found, failing = changes(older, rows), broken(older, rows)
    if not found and not failing:
        raise ValueError("compare: the older results have no row in common with these")
    console.print(tables.comparison(found))
    worse = sum(slower(change) for change in found)
    if worse or failing:
        raise RuntimeError(
            f"bench: of {len(found) + len(failing)} rows, {worse} are slower and {len(failing)} fail now"
        )
