"""The tasks, a file each. TASKS has a row for each: its configuration, and the module that does the work.

A task's module has `load(config) -> data`, where bad input is found before a run begins, and
`train(config, data, directory, run, console)`, which fills the run's record and returns its result in a few words.
"""

from typing import NamedTuple

from jaxrnn.runner.config import Article, Config, Text


class Task(NamedTuple):
    config: type[Config]
    module: str  # imported when the task is run: it needs jax


TASKS = {
    "text": Task(Text, "jaxrnn.runner.tasks.text"),
    "article": Task(Article, "jaxrnn.runner.tasks.article"),
}
