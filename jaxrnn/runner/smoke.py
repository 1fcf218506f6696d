"""A run of seconds that goes through everything a long one does."""

import dataclasses
import tempfile
from pathlib import Path

from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.run import train


def smoke(name: str, config: Config) -> None:
    """Half the steps, then the rest resumed from the checkpoint, scored and reported."""
    tiny = dataclasses.replace(config, **config.SMOKE)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        if not isinstance(tiny, Trained):
            return train(name, dataclasses.replace(tiny, out=out))
        train(name, dataclasses.replace(tiny, out=out, steps=tiny.steps // 2))
        train(name, dataclasses.replace(tiny, out=out), resume=out)
