"""Write experiments/README.md from the results that are kept: python experiments/table.py

table.toml says which results there are, beside which figure of a paper each stands, and what was tried for it; the
numbers come from results/*/*/result.json alone. A row's `metric` is looked up there; `trials` asks for the share of
seeds that met the criterion and the presentations that they took, `streams` for the shares that are perfect, good and
neither. A section with a `script` shows what that keeps in place of rows.
"""

import json
import math
import statistics
import tomllib
from pathlib import Path
from typing import Any

import cyclopts

HERE = Path(__file__).parent
HEAD = "| experiment | the paper's figure | ours | time | parameters | command |\n| --- | --- | --- | --- | --- | --- |"


def page() -> str:
    table = tomllib.loads((HERE / "table.toml").read_text(encoding="utf-8"))
    return "\n\n".join([table["opening"].strip(), *map(section, table["sections"])]) + "\n"


def section(of: dict[str, Any]) -> str:
    return "\n\n".join([f"## {of['title']}", of["about"].strip(), *(of_script(of) if "script" in of else of_rows(of))])


def of_script(of: dict[str, Any]) -> list[str]:
    """Of a script that keeps NAME.json and NAME.png: the command, the picture, and where it ran."""
    found = json.loads((HERE / "results" / f"{of['script']}.json").read_text(encoding="utf-8"))
    picture = f"![{of['shows']}](results/{of['script']}.png)"
    command = f"`{found['command']}` writes [its numbers](results/{of['script']}.json) and the picture."
    parts = {of["title"]: {}} if "git" in found else found["variants"]  # each with its own commit
    return [command, picture, foot([({"what": name}, found | part) for name, part in parts.items()])]


def of_rows(of: dict[str, Any]) -> list[str]:
    rows = [(row, result(row)) for row in of["rows"]]
    tried = [f"* {row['what']}: {row['tried']}" for row, _ in rows if "tried" in row]
    noted = [f"* {row['what']}: {found['note']}" for row, found in rows if "note" in found]
    pictures = [f"![{row['shows']}](results/{row['result']}/{row['picture']})" for row, _ in rows if "picture" in row]
    table = "\n".join([HEAD, *(line(row, found) for row, found in rows)])
    parts = [table, "\n".join(tried + noted), "\n\n".join(pictures), foot(rows)]
    return [part for part in parts if part]


def result(row: dict[str, Any]) -> dict[str, Any]:
    return json.loads((HERE / "results" / row["result"] / "result.json").read_text(encoding="utf-8"))


def line(row: dict[str, Any], found: dict[str, Any]) -> str:
    several = trials if row.get("trials") else streams if row.get("streams") else None
    ours = several(found) if several else number(found["metrics"], row["metric"])
    if "reach" in row and not reached(row, found):
        ours += f" (wanted {row['reach']})"
    time, parameters = duration(found["seconds"]), f"{found['parameters']:,}"
    cells = [f"[{row['what']}](results/{row['result']})", row["paper"], ours, time, parameters, f"`{found['command']}`"]
    return f"| {' | '.join(cells)} |"


def number(metrics: dict[str, Any], name: str) -> str:
    """The mean with at least three digits; over several seeds the standard deviation, with as many after the point."""
    mean, spread = metrics[name], metrics.get(f"{name}_std")
    after = max(decimals(mean, 3), decimals(spread, 1) if spread else 0)
    return f"{mean:.{after}f}" + ("" if spread is None else f" ± {spread:.{after}f}")


def decimals(value: float, digits: int) -> int:
    """How many after the point, for so many digits that mean something."""
    return max(digits - 1 - math.floor(math.log10(abs(value) or 1)), 0)


def trials(found: dict[str, Any]) -> str:
    """How many met the criterion, after how many presentations in the mean, and the share of test sequences wrong."""
    took, met = presentations(found), solved(found)
    count = f"{len(took)} of {len(met)} solved"
    if not took:
        return count
    wrong = [share for share, there in zip(found["metrics"]["test_wrong_by_seed"], met, strict=True) if there]
    mean, spread = statistics.mean(took), statistics.stdev(took) if len(took) > 1 else 0.0
    return f"{count}, {mean:,.0f} ± {spread:,.0f}; {100 * statistics.mean(wrong):.2f} % of test wrong"


def streams(found: dict[str, Any]) -> str:
    """The trials that are perfect, after how many symbols in the mean; the others, and how long their streams are."""
    metrics, config = found["metrics"], found["config"]
    perfect, good = (list(map(bool, metrics[f"test_{what}_by_seed"])) for what in ("perfect", "good"))
    read = [step * config["batch"] * config["length"] for step in found["best"]["step"]]
    rest = [not (a or b) for a, b in zip(perfect, good, strict=True)]
    lengths = metrics["test_length_by_seed"]
    return " / ".join(share(*kind) for kind in ((perfect, read), (good, lengths), (rest, lengths)))


def share(which: list[bool], numbers: list[float]) -> str:
    """How many of all, and the mean of their numbers."""
    theirs = [number for number, one in zip(numbers, which, strict=True) if one]
    return f"{100 * len(theirs) / len(which):.0f} %" + (f" ({statistics.mean(theirs):,.0f})" if theirs else "")


def solved(found: dict[str, Any]) -> list[bool]:
    return [missing <= 0 for missing in found["metrics"]["valid_missing_by_seed"]]


def presentations(found: dict[str, Any]) -> list[int]:
    """Of each trial that met the criterion, up to the look at which it did."""
    steps = zip(found["best"]["step"], solved(found), strict=True)
    return [step * found["config"]["batch"] for step, met in steps if met]


def reached(row: dict[str, Any], found: dict[str, Any]) -> bool:
    """`reach` is a bound on the metric, such as "<= 8.6", or on the share of trials, such as ">= 95 %"."""
    sign, bound = row["reach"].split()[:2]
    ours = 100 * statistics.mean(solved(found)) if row.get("trials") else found["metrics"][row["metric"]]
    return round(ours, 2) <= float(bound) if sign == "<=" else round(ours, 2) >= float(bound)


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def foot(rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Where and with what the rows were computed: one sentence for all that have it in common."""
    places: dict[tuple[str, str], list[str]] = {}
    for row, found in rows:
        device, versions = found["device"], found["versions"]
        where = f"{device['kind']}, {device['cpus']} CPUs, Python {versions['python']}, jax {versions['jax']}"
        commit = found["git"]["commit"][:8] + (" with changes" if found["git"]["changed"] else "")
        places.setdefault((where, commit), []).append(row["what"])
    if len(places) == 1:
        (where, commit), _ = places.popitem()
        return f"Computed on {where}, at commit {commit}."
    return "\n".join(f"* {', '.join(what)}: {where}, commit {commit}." for (where, commit), what in places.items())


def main() -> None:
    """Write README.md from table.toml and the results."""
    (HERE / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    cyclopts.run(main)
