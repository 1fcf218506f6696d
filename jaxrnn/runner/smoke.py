"""A run of seconds that goes through everything a long one does."""

import dataclasses
import tempfile
import time
from pathlib import Path

from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.console import make_console
from jaxrnn.runner.run import train


def smoke(name: str, config: Config) -> None:
    """Half the steps, then the rest resumed from the checkpoint, scored and reported."""
    began = time.perf_counter()
    tiny = dataclasses.replace(config, **config.SMOKE)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        if not isinstance(tiny, Trained):
            train(name, dataclasses.replace(tiny, out=out), kept=False)
        else:
            train(name, dataclasses.replace(tiny, out=out, steps=tiny.steps // 2), kept=False, brief=True)
            train(name, dataclasses.replace(tiny, out=out), resume=out, kept=False)
    seconds = time.perf_counter() - began
    make_console().out(f"{name}: all of it works, in {seconds:.1f} s; nothing is kept", highlight=False)
