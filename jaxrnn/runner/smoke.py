"""A run of seconds that goes through everything a long one does."""

import dataclasses
import tempfile
import time
from pathlib import Path

from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.console import make_console
from jaxrnn.runner.run import train
from jaxrnn.runner.tasks import TASKS


def smoke(name: str, config: Config) -> None:
    """Half the steps, then the rest resumed from the checkpoint, scored and reported.

    Where no data are given, on the task's stand-in for them. Raises ValueError where it is told to keep it.
    """
    if config.out is not None:
        raise ValueError(f"out: got {config.out} beside --smoke, which keeps nothing; leave one of them out")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        given = getattr(config, "data", None) is not None
        made = {} if given else TASKS[name].stand_in(Path(folder))
        tiny = dataclasses.replace(config, **config.SMOKE | made)
        out = Path(folder) / name
        if not isinstance(tiny, Trained):
            train(name, dataclasses.replace(tiny, out=out), kept=False)
        else:
            train(name, dataclasses.replace(tiny, out=out, steps=tiny.steps // 2), kept=False, brief=True)
            train(name, dataclasses.replace(tiny, out=out), resume=out, kept=False)
    seconds = time.perf_counter() - began
    make_console().out(f"{name}: all of it works, in {seconds:.1f} s; nothing is kept", highlight=False)
