"""The numbers of metrics.jsonl as TensorBoard events too, where --tensorboard asks for them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxrnn.runner.config import Trained


def check_tensorboard(config: Trained) -> None:
    """Raises ValueError where events are asked for and tensorboardX is missing."""
    if config.tensorboard:
        try:
            import tensorboardX  # noqa: F401
        except ModuleNotFoundError:
            raise ValueError('tensorboard: needs tensorboardX: pip install "jaxrnn[tensorboard]"') from None


@contextlib.contextmanager
def events(directory: Path, wanted: bool, first: int) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """Gives `log(step, values)`, which takes the single numbers; what was logged from step `first` on goes."""
    if not wanted:
        yield lambda step, values: None
        return
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(directory / "tensorboard"), purge_step=first) as writer:

        def log(step: int, values: dict[str, Any]) -> None:
            for name, value in values.items():
                if isinstance(value, dict):
                    log(step, {f"{name}/{inner}": each for inner, each in value.items()})
                elif isinstance(value, int | float):
                    writer.add_scalar(name, value, step)

        yield log
