"""What four seeds in one run cost beside four runs: the whole command's seconds, and those of a step after the first.

python experiments/seeds_together.py        writes experiments/results/seeds_together.json
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cyclopts

from jaxrnn.runner.metrics import read_metrics
from jaxrnn.runner.record import provenance

SEEDS = ("0", "1", "2", "3")
SIZES = {
    "the default": "--steps 60",
    "64 units, batch 4": "--steps 300 --units 64 --batch 4",
}


def run(*options: str) -> tuple[float, float]:
    """(seconds of the command, median seconds of a step)."""
    with tempfile.TemporaryDirectory() as parent:
        out = Path(parent) / "run"
        command = [str(Path(sys.executable).with_name("jaxrnn")), "train", "text", "--out", str(out), *options]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took = time.perf_counter() - began
        config = json.loads((out / "run.json").read_text())["config"]
        characters = config["batch"] * config["length"] * len(config["seeds"] or [0])
        return took, statistics.median(characters / line["characters_per_second"] for line in read_metrics(out)[1:])


def compare(options: str) -> dict[str, float]:
    """One run of all seeds between the runs of each."""
    alone = [run("--seed", seed, *options.split()) for seed in SEEDS[:2]]
    together = run("--seeds", *SEEDS, *options.split())
    alone += [run("--seed", seed, *options.split()) for seed in SEEDS[2:]]
    seconds, step = (sum(parts) for parts in zip(*alone, strict=True))
    return {
        "seconds_of_four_runs": round(seconds, 2),
        "seconds_together": round(together[0], 2),
        "ratio": round(together[0] / seconds, 3),
        "milliseconds_of_four_steps": round(1000 * step, 2),
        "milliseconds_of_a_step_together": round(1000 * together[1], 2),
        "ratio_of_steps": round(together[1] / step, 3),
    }


def main() -> None:
    """Run and time all of it, and write results/seeds_together.json."""
    before = os.getloadavg()[0]
    results = {name: {"options": options} | compare(options) for name, options in SIZES.items()}
    load = {"load_before": before, "load_after": os.getloadavg()[0]}
    path = Path(__file__).parent / "results" / "seeds_together.json"
    path.write_text(json.dumps({"results": results, **load, **provenance()}, indent=2) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    cyclopts.run(main)
