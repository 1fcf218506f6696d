"""Greff et al. 2017, "LSTM: A search space odyssey": what each part of the LSTM is worth, on the chorales of JSB.

    jaxrnn sweep experiments/polymusic.toml --data JSB_Chorales.mat --units 36 --seeds 0 1 2 --out odyssey \
      --grid rate=3e-3,1e-2 cell=lstm_diagonal,lstm_nig,lstm_nfg,lstm_nog,lstm_niaf,lstm_noaf,lstm_cifg,lstm_np,lstm_fgr
    python -m experiments.odyssey odyssey        writes experiments/results/odyssey.json and .png

Each variant is one change away from the LSTM with peepholes. Of its trials the one that did best on the validation part
counts. The paper draws 200 settings for each, of size, rate and noise, and shows the best tenth.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.figure

from experiments.gradient_flow import compact
from experiments.keep import result_of

RESULTS = Path(__file__).parent / "results"
SHARED = "--data JSB_Chorales.mat --units 36 --seeds 0 1 2"
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


def best_of(sweep: Path) -> dict[str, dict[str, Any]]:
    """Each variant's result. Raises ValueError where the sweep has none of a variant."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(sweep.glob("*/run.json")):
        result = result_of(json.loads(path.read_text(encoding="utf-8")))
        cell = result["config"]["cell"]
        if cell not in found or result["metrics"]["valid_nll"] < found[cell]["metrics"]["valid_nll"]:
            found[cell] = result
    if missing := [cell for cell in VARIANTS if cell not in found]:
        raise ValueError(f"odyssey: {sweep} has no run of {', '.join(missing)}, wanted one of each")
    return {cell: found[cell] for cell in VARIANTS}


def told(found: dict[str, dict[str, Any]], command: str) -> dict[str, Any]:
    """What is kept: what they share once, and of each what it chose and came to."""
    whole, keys = found[WHOLE], ("seconds", "parameters", "metrics")
    shared = {key: whole[key] for key in ("versions", "device", "git", "data_sha256")}
    variants = {cell: {"rate": of["config"]["rate"]} | {key: of[key] for key in keys} for cell, of in found.items()}
    return {"command": command, **shared, "variants": variants}


def draw(variants: dict[str, dict[str, Any]], path: Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    for k, (cell, of) in enumerate(variants.items()):
        seeds = of["metrics"]["test_nll_by_seed"]
        axes.plot([k] * len(seeds), seeds, "o", color="C0", alpha=0.5)
        axes.plot([k - 0.25, k + 0.25], [of["metrics"]["test_nll"]] * 2, color="C3" if cell == WHOLE else "C0", lw=2)
    axes.axhline(variants[WHOLE]["metrics"]["test_nll"], color="C3", lw=1, ls=":")
    axes.set_xticks(range(len(variants)), [VARIANTS[cell] for cell in variants], rotation=20)
    axes.set(ylabel="nats a step, test part", title="JSB Chorales: the LSTM and eight variants, a dot a seed")
    axes.grid(alpha=0.3, axis="y")
    figure.savefig(path, dpi=120)


def main(sweep: Path) -> None:
    plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    grid = {key: dict.fromkeys(str(t["options"][key]) for t in plan["trials"]) for key in plan["trials"][0]["options"]}
    varied = " ".join(f"{key}={','.join(values)}" for key, values in grid.items())
    command = f"jaxrnn sweep experiments/polymusic.toml {SHARED} --out {sweep.resolve().name} --grid {varied}"
    result = told(best_of(sweep), f"{command} && python -m experiments.odyssey {sweep.resolve().name}")
    (RESULTS / "odyssey.json").write_text(compact(result) + "\n", encoding="utf-8")
    draw(result["variants"], RESULTS / "odyssey.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
