"""Greff et al. 2017, "LSTM: A search space odyssey": what each part of the LSTM is worth, on the chorales of JSB.

    python -m experiments.odyssey SWEEP [OUT]        writes odyssey.json and .png, to experiments/results

SWEEP is the folder of a sweep over `cell` and whatever else is to be chosen for each of them, such as the rate
(experiments/odyssey.toml has the command). Of each cell's trials the one that did best on the validation part counts.
The repository may move on during a sweep, so each variant keeps the commit it ran at. The paper draws 200 settings for
each variant, of its size, rate, momentum and noise, which is its inputs', and shows the best tenth.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cyclopts
import matplotlib.figure

from experiments.gradient_flow import compact
from experiments.keep import result_of

RESULTS = Path(__file__).parent / "results"
WHOLE = "lstm_diagonal"
VARIANTS = {
    WHOLE: "LSTM",
    "lstm_nig": "no input gate",
    "lstm_nfg": "no forget gate",
    "lstm_nog": "no output gate",
    "lstm_niaf": "no tanh\nat the input",
    "lstm_noaf": "no tanh\nat the output",
    "lstm_cifg": "f = 1 - i",
    "lstm_np": "no peepholes",
    "lstm_fgr": "gates see\ngates",
}
SHARED = ("versions", "device", "data_sha256")


def completed(sweep: Path) -> list[dict[str, Any]]:
    """The trials that came to their end. Raises ValueError where they do not come from one place."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(sweep.glob("*/run.json"))]
    found = [result_of(run) for run in runs if run["status"] == "completed"]
    if not found:
        raise ValueError(f"odyssey: {sweep} has no completed trial, wanted the folder of a sweep")
    for key in SHARED:
        if others := [of[key] for of in found if of[key] != found[0][key]]:
            came = f"{key}, {found[0][key]} and {others[0]}"
            raise ValueError(f"odyssey: the trials of {sweep} differ in {came}, wanted them all of one; sweep again")
    return found


def best_of(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each variant's result. Raises ValueError where a variant has none."""
    best: dict[str, dict[str, Any]] = {}
    for of in found:
        cell = of["config"]["cell"]
        if cell not in best or of["metrics"]["valid_nll"] < best[cell]["metrics"]["valid_nll"]:
            best[cell] = of
    if missing := [cell for cell in VARIANTS if cell not in best]:
        raise ValueError(f"odyssey: no trial of {', '.join(missing)} was completed, wanted one of each")
    return {cell: best[cell] for cell in VARIANTS}


def commands(found: list[dict[str, Any]], name: str) -> str:
    """As a user would give them; each trial keeps the sweep's own, and one after an interruption that which went on."""
    first = min(found, key=lambda of: of["started"])
    return f"{first['command']} --out {name}; python -m experiments.odyssey {name}"


def told(found: list[dict[str, Any]], options: list[str], command: str) -> dict[str, Any]:
    """What is kept: what all trials share, each variant's best, and how every trial scored."""
    chosen = [key for key in options if key != "cell"]
    trials = [
        {key: of["config"][key] for key in options} | {key: of["metrics"][key] for key in ("valid_nll", "test_nll")}
        for of in found
    ]
    variants = {
        cell: {key: of["config"][key] for key in chosen}
        | {key: of[key] for key in ("git", "parameters", "best", "metrics")}
        for cell, of in best_of(found).items()
    }
    config = {key: value for key, value in found[0]["config"].items() if key not in options}
    seconds = round(sum(of["seconds"] for of in found), 3)
    shared = {key: found[0][key] for key in SHARED}
    return {"command": command, "seconds": seconds, **shared, "config": config, "variants": variants, "trials": trials}


def draw(variants: dict[str, dict[str, Any]], data: str, path: Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    for k, (cell, of) in enumerate(variants.items()):
        seeds, mean = of["metrics"]["test_nll_by_seed"], of["metrics"]["test_nll"]
        axes.plot([k] * len(seeds), seeds, "o", color="C0", alpha=0.5)
        axes.plot([k - 0.25, k + 0.25], [mean, mean], color="C3" if cell == WHOLE else "C0", lw=2)
    axes.axhline(variants[WHOLE]["metrics"]["test_nll"], color="C3", lw=1, ls=":")
    axes.set_xticks(range(len(variants)), [VARIANTS[cell] for cell in variants], rotation=20)
    axes.set(ylabel="nats a step, test part", title=f"{data}: the LSTM and eight variants, a dot a seed")
    axes.grid(alpha=0.3, axis="y")
    figure.savefig(path, dpi=120)


def main(sweep: Path, out: Path = RESULTS) -> None:
    """Draw a sweep's folder. The numbers and the picture go to `out`."""
    found = completed(sweep)
    plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    options = list(plan["trials"][0]["options"])
    result = told(found, options, commands(found, sweep.resolve().name))
    out.mkdir(exist_ok=True)
    (out / "odyssey.json").write_text(compact(result) + "\n", encoding="utf-8")
    draw(result["variants"], Path(found[0]["config"]["data"]).stem.replace("_", " "), out / "odyssey.png")
    print(f"odyssey: the numbers and the picture of {sweep} are in {out}")


if __name__ == "__main__":
    try:
        cyclopts.run(main)
    except ValueError as error:
        sys.exit(str(error))
