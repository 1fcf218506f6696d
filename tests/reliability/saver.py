"""A child that saves twice and does nothing else; during the second save it may die or meet an error, at call n."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def trees(step: int) -> dict[str, Any]:
    draws = np.random.default_rng(step)
    return {"params": {"w": draws.random((5, 3), np.float32), "b": draws.random(3)}, "step": np.array(step, np.int32)}


def saves(directory: Path, mishap: tuple[Any, ...]) -> None:
    from jaxrnn.runner import train
    from jaxrnn.runner.checkpoint import checkpoints
    from reliability import mishaps

    with checkpoints(directory) as manager:
        for step in (4, 6, 8):  # at the third one of the two before it is deleted
            if mishap and step == 8:
                getattr(mishaps, mishap[0])(*mishap[1:])
            train.save(manager, step, **trees(step))


def main() -> None:
    """Serve requests, one JSON line each, from a process that has imported everything."""
    import os

    import jaxrnn.runner.train  # noqa: F401
    from reliability import mishaps

    for line in sys.stdin:
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            file = os.open(request["log"], os.O_WRONLY | os.O_CREAT)
            os.dup2(file, 1)
            os.dup2(file, 2)
            try:
                saves(Path(request["directory"]), tuple(request["mishap"]))
            except OSError as error:
                print(error, flush=True)
                os._exit(1)
            print("" if mishaps.reached() else "never reached", flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
