"""Keep a run as a result: python experiments/keep.py RUN polymusic/jsb_gru ["a note"]

Its numbers and all that they depend on go to experiments/results/polymusic/jsb_gru/result.json, with the note, its
pictures and samples beside it, and where the network rests if it was inspected. Of a file's path its name is kept;
which file it was its sha256 says. A run that was stopped and went on has the command that began it, and the seconds of
all its parts.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cyclopts

RESULTS = Path(__file__).parent / "results"
KEPT = ("task", "config", "seed", "parameters", "best", "metrics", "anchors", "data_sha256")
ABOUT = ("seconds", "started", "versions", "device", "git")


def result_of(run: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run.json. Raises ValueError where the run is not complete."""
    if run["status"] != "completed":
        raise ValueError(f"keep: the run is {run['status']}, wanted a completed one")
    kept = {key: run[key] for key in (*KEPT, *ABOUT)}
    config = {key: without_folder(value) for key, value in run["config"].items() if key != "out" and value is not None}
    parts = [*run.get("earlier", []), run]
    kept |= {"started": parts[0]["started"], "seconds": round(sum(part["seconds"] or 0.0 for part in parts), 3)}
    return {"command": command_of(parts[0]["command"]), **kept, "config": config}


def command_of(tokens: list[str]) -> str:
    """As a user would give it: files by their names, no --out."""
    words = ["jaxrnn", *tokens[1:]]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return " ".join(word if word.startswith("experiments/") else without_folder(word) for word in words)


def without_folder(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and "/" in value else value


def keep(run: Path, name: str, note: str | None = None) -> None:
    """Keep what is worth it of a completed run in results/NAME."""
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    found = result_of(json.loads((run / "run.json").read_text(encoding="utf-8")))
    found |= {"note": note} if note else {}
    (folder / "result.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for left in (*run.glob("*.png"), *run.glob("*.txt"), *run.glob("inspect/fixed_points.png")):
        shutil.copyfile(left, folder / left.name)


if __name__ == "__main__":
    cyclopts.run(keep)
