"""Results as tables: every number in the terminal, medians side by side in Markdown."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from jaxrnn.bench.compare import Change, faster, slower
from jaxrnn.bench.results import Row

BEGIN, END = "<!-- bench:", "<!-- end of bench -->"
CASE = ("cell", "B", "T", "I", "H", "dtype", "mode")


def by_case(rows: list[Row]) -> dict[tuple[object, ...], list[Row]]:
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in CASE), []).append(row)
    return found


def terminal(rows: list[Row], columns: Sequence[str]) -> Iterable[Table]:
    """A table for each case, the fastest first; what failed stands below, with its reason."""
    for (cell, B, T, I, H, dtype, mode), those in by_case(rows).items():
        title = f"{cell}  B={B} T={T} I={I} H={H}  {dtype}  {mode}"
        failed = [f"{label(row)}: {row['reason']}" for row in those if row["status"] != "ok"]
        table = Table(
            "",
            *columns,
            title=title,
            caption=Text("\n".join(failed)) if failed else None,
            box=box.SIMPLE,
            padding=(0, 1),
            pad_edge=False,
        )
        table.title_justify = table.caption_justify = "left"
        for column in table.columns:
            column.no_wrap, column.justify = True, "right"
        table.columns[0].justify = "left"
        for row in sorted((row for row in those if row["status"] == "ok"), key=lambda row: row["median"]):
            table.add_row(Text(label(row)), *(Text(COLUMNS[name](row)) for name in columns))
        yield table


def label(row: Row) -> str:
    """Who, and what it computes where that is another form of the cell."""
    return row["name"] + ("" if row["computes"] == row["cell"] else f" ({row['computes']})")


def milliseconds(seconds: float) -> str:
    """Three digits."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


COLUMNS: dict[str, Callable[[Row], str]] = {
    "ms": lambda row: milliseconds(row["median"]),
    "p10 to p90": lambda row: f"{milliseconds(row['p10'])} to {milliseconds(row['p90'])}",
    "us/step": lambda row: f"{row['microseconds_per_step']:.1f}",
    "tokens/s": lambda row: f"{row['tokens_per_second']:,.0f}",
    "products": lambda row: f"{row['product_share']:.0%}",  # of the rate of one product of this size
    "roofline": lambda row: f"{row['roofline_share']:.1%}",
    "MB": lambda row: "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}",
    "error": lambda row: f"{max(row['errors'].values()):.0e}" if row.get("errors") else "",
    "trace s": lambda row: f"{row['trace_seconds']:.2f}",
    "compile s": lambda row: f"{row['compile_seconds']:.2f}",
    "first ms": lambda row: milliseconds(row["first_seconds"]),
}
NARROW = ("ms", "p10 to p90", "tokens/s", "products", "error")  # what 80 columns hold
WIDTH = 140  # what all of them need


def comparison(changes: list[Change]) -> Table:
    table = Table("", "case", "then ms", "now ms", "now / then", "", title="Against the older results")
    for change in changes:
        told = "slower" if slower(change) else "faster" if faster(change) else ""
        row = change.new
        case = " ".join(str(row[name]) for name in CASE)
        medians = milliseconds(change.old["median"]), milliseconds(row["median"])
        table.add_row(label(row), case, *medians, f"{change.ratio:.2f}", told)
    return table


def markdown(session: Row, rows: list[Row]) -> str:
    """Medians in milliseconds with p10 to p90, a line a case and a column a contender; the fastest is bold."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    several = [name for name in ("dtype", "mode") if len({row[name] for row in rows}) > 1]
    lines = [_line(["cell", "B, T, I, H", *several, *names]), _line(["---"] * (2 + len(several) + len(names)))]
    for those in by_case(rows).values():
        first, found = those[0], {row["name"]: row for row in those}
        best = min((row["median"] for row in those if row["status"] == "ok"), default=None)
        shape = ", ".join(str(first[name]) for name in "BTIH")
        words = [_markdown_cell(found.get(name), best) for name in names]
        lines.append(_line([first["cell"], shape, *(first[name] for name in several), *words]))
    return "\n".join([*lines, "", *_notes(session, rows)]) + "\n"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _markdown_cell(row: Row | None, best: float | None) -> str:
    if row is None:
        return ""
    if row["status"] != "ok":
        return "failed"
    median = milliseconds(row["median"])
    shown = f"**{median}**" if row["median"] == best else median
    other = "" if row["computes"] == row["cell"] else f" ({row['computes']})"
    return f"{shown} ({milliseconds(row['p10'])} to {milliseconds(row['p90'])}){other}"


def _notes(session: Row, rows: list[Row]) -> Iterable[str]:
    """Where the numbers are from, and by what algorithm and in what precision each contender came to them."""
    dtypes, modes = ([*dict.fromkeys(row[name] for row in rows)] for name in ("dtype", "mode"))
    device, git = session["device"], session["git"]
    commit = "no commit" if git is None else f"commit {git['commit'][:10]}" + " with changes" * git["changed"]
    rates = f"{session['peak_flops'] / 1e9:.0f} GFLOP/s, memory at {session['bandwidth'] / 1e9:.0f} GB/s"
    yield (
        f"Milliseconds of {' or '.join(STEPS[mode] for mode in modes)} in {', '.join(dtypes)}: the median (p10 to p90)"
        f" of interleaved runs, each contender in a process of its own. `{shlex.join(session['command'])}`, {commit},"
        f" {session['started'][:10]}, jax {session['versions']['jax']} on {device['kind']}"
        f" ({session['processor'] or device['machine']}, {session['threads']} threads; products in float32 at {rates})."
    )
    yield ""
    for name in dict.fromkeys(row["name"] for row in rows):
        those = [row for row in rows if row["name"] == name]
        well = [row for row in those if row["status"] == "ok"]
        options = {str(row["compiler_options"]) for row in well if row["compiler_options"]}
        worst = max((max(row["errors"].values()) for row in well if row.get("errors")), default=None)
        words = [f"{name} {well[0]['version']}", _each(well, "algorithm"), _each(well, "precision")] if well else [name]
        words += [f"XLA options {text}" for text in options]
        words += [f"largest error {worst:.0e}"] if worst is not None else []
        words += [f"failed: {reason}" for reason in dict.fromkeys(r["reason"] for r in those if r["status"] != "ok")]
        yield f"* {'; '.join(words)}."


def _each(rows: list[Row], name: str) -> str:
    return " or ".join(dict.fromkeys(row[name] for row in rows))


STEPS = {
    "train": "a training step (outputs, gradients of all weights and of x)",
    "forward": "a forward pass",
}


def with_table(text: str, table: str) -> str:
    """The text with the table between its two markers. Raises ValueError where they are not there."""
    before, begin, rest = text.partition(BEGIN)
    marker, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"readme: wanted a line that begins with '{BEGIN}' and a later line '{END}'")
    return f"{before}{begin}{marker.partition(chr(10))[0]}\n\n{table}\n{end}{after}"


def write_readme(path: Path, table: str) -> None:
    path.write_text(with_table(path.read_text(encoding="utf-8"), table), encoding="utf-8")
