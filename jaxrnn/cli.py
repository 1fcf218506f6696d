"""The command. What needs jax is imported when it is called for, so that --help is there at once."""

import dataclasses
import importlib
import importlib.metadata
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

try:
    from cyclopts import App, CycloptsError, Parameter
    from cyclopts.config import Dict
except ModuleNotFoundError:
    raise SystemExit('jaxrnn: the command needs more than the library does: pip install "jaxrnn[cli]"') from None

from jaxrnn.bench.options import Bench
from jaxrnn.runner.config import Config, Sample, Trained
from jaxrnn.runner.stopping import Stopped
from jaxrnn.runner.tasks import TASKS, Task

FAILED, USAGE, DIVERGED, INTERRUPTED = 1, 2, 3, 130  # and 128 + the signal's number when asked to stop

app = App(
    name="jaxrnn",
    help="Recurrent networks in JAX: train one, see how well it did, let it write, and time it.",
    version=lambda: importlib.metadata.version("jaxrnn"),
    suppress_keyboard_interrupt=False,
)
train_app = App(
    name="train",
    help="Train a task, or a recipe: jaxrnn train RECIPE.toml [--option value ...].",
)
app.command(train_app)


def train_command(name: str, task: Task) -> Callable[..., None]:
    """The command `jaxrnn train NAME`, its options the fields of the task's configuration."""

    def command(*, config: Config | None = None) -> None:
        train(name, task, config or task.config())

    command.__annotations__["config"] = Annotated[task.config | None, Parameter(name="*")]
    command.__doc__ = (task.config.__doc__ or "").partition("\n")[0]
    return command


for task_name, task in TASKS.items():
    train_app.command(train_command(task_name, task), name=task_name)


def train(name: str, task: Task, config: Config) -> None:
    """Load, so that bad input is found first; then one recorded run in a directory of its own."""
    module = importlib.import_module(task.module)
    data = module.load(config)
    if not isinstance(config, Trained):
        return train_here(name, module, data, config)

    from jaxrnn.runner.devices import make_mesh
    from jaxrnn.runner.processes import joined, run_directory
    from jaxrnn.runner.seeds import seeds_of

    seeds_of(config)
    with joined(config), run_directory(config.out) as out:
        make_mesh(config)
        train_here(name, module, data, dataclasses.replace(config, out=out))


def train_here(name: str, module: ModuleType, data: Any, config: Config) -> None:
    """The run, and in a few words where it is and what came out."""
    from jaxrnn.runner.console import make_console
    from jaxrnn.runner.memory import keep_freed_memory
    from jaxrnn.runner.record import recorded

    keep_freed_memory()
    console = make_console()
    with recorded(config.out, name, config) as (directory, run):
        console.out(f"{name}: run in {directory}", highlight=False)
        try:
            result = module.train(config, data, directory, run, console)
        except (ValueError, OSError) as error:  # what the user said was checked above; run.json has the traceback
            raise RuntimeError(f"{name}: {error}; see {directory / 'run.json'}") from error
    console.out(f"{name}: {result}, done in {run['seconds']:.1f} s, everything is in {directory}", highlight=False)


@app.command
def sample(run: Path, /, *, config: Annotated[Sample | None, Parameter(name="*")] = None) -> None:
    """Continue a prompt from a text run's newest checkpoint.

    Parameters
    ----------
    run
        The directory of a run of `jaxrnn train text`.
    """
    from jaxrnn.runner import record

    found = record.read(run)
    if found["task"] != "text":
        raise ValueError(f"run: {run} is a run of {found['task']!r}, wanted one of 'text'")
    from jaxrnn.runner.tasks.text import continue_prompt

    how = config or Sample()
    said = continue_prompt(run, found["config"], how)
    if seeds := found["config"].get("seeds"):
        print(f"jaxrnn: member {how.member} is seed {seeds[how.member]}", file=sys.stderr)
    print(said)


@app.command
def bench(*, options: Annotated[Bench | None, Parameter(name="*")] = None) -> None:
    """Time jaxrnn against other libraries on this machine, or show and compare such results."""
    from jaxrnn.bench import report
    from jaxrnn.runner.console import make_console

    report.bench(options or Bench(), make_console())


def recipe(path: Path, tokens: Sequence[str]) -> list[str]:
    """The tokens with the recipe's task in its place; its options become defaults below the command line's.

    Raises ValueError when the file cannot be read, is not TOML, or names no task.
    """
    try:
        options: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"recipe: {path} cannot be read as TOML: {error}") from None
    task = options.pop("task", None)
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"recipe: {path} has task = {task!r}, wanted one of {', '.join(TASKS)}")
    app.config = [Dict(options, source=str(path), use_commands_as_keys=False)]
    return ["train", task, *tokens]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; what the user can mend is told in one line."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if len(tokens) > 1 and tokens[0] == "train" and tokens[1].lower().endswith(".toml"):
            tokens = recipe(Path(tokens[1]), tokens[2:])
        app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:  # cyclopts has already said what is wrong
        raise SystemExit(USAGE) from None
    except ValueError as error:
        fail(error, USAGE)
    except FloatingPointError as error:
        fail(error, DIVERGED)
    except Stopped as error:
        fail(error, error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except RuntimeError as error:
        fail(error, FAILED)
    finally:
        app.config = []


def fail(words: object, code: int) -> None:
    print(f"jaxrnn: {str(words).partition(chr(10))[0]}", file=sys.stderr)
    raise SystemExit(code)
