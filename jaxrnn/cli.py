"""The command. What needs jax is imported when it is called for, so that --help is there at once."""

import dataclasses
import importlib
import importlib.metadata
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

try:
    from cyclopts import App, CycloptsError, Parameter
    from cyclopts.config import Dict
except ModuleNotFoundError:
    raise SystemExit('jaxrnn: the command needs more than the library does: pip install "jaxrnn[cli]"') from None

from jaxrnn.bench.options import Bench
from jaxrnn.runner.commands.options import Compare, Doctor, Eval, Export, Inspect, Predict, Sweep
from jaxrnn.runner.config import Config, How, Sample, Text, Trained
from jaxrnn.runner.config.reading import as_toml, from_options
from jaxrnn.runner.files import printable, read_small, reason, told
from jaxrnn.runner.stopping import Stopped, catching
from jaxrnn.runner.tasks import TASKS, Task

FAILED, USAGE, DIVERGED = 1, 2, 3  # and 128 + the signal's number when asked to stop

# A task of one's own (jaxrnn.runner.own) is called as its file is.
OWN = Path(sys.argv[0]).stem if Path(sys.argv[0]).stem in TASKS and sys.argv[0].endswith(".py") else None
CALLED = f"python {OWN}.py" if OWN else "jaxrnn"

app = App(
    name=CALLED,
    help="Recurrent networks in JAX: train them, see how well they did, use them and take them away.",
    version=lambda: importlib.metadata.version("jaxrnn"),
    suppress_keyboard_interrupt=False,
)


def every_tasks() -> str:
    """The options that all tasks have, for the help of `train` and `sweep`."""
    names = " ".join(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Trained))
    return f"Every task but article has: {names}"


train_app = App(
    name="train",
    help_epilogue=f"{every_tasks()}\n\nWhat each is, and the task's own: jaxrnn train TASK --help",
    help="Train a task, or a recipe: jaxrnn train RECIPE.toml [--option value ...]; go on with a run: --resume RUN.",
)
sweep_app = App(
    name="sweep",
    help_epilogue=f"{every_tasks()}\n\nWhat each is, and the task's own: jaxrnn sweep TASK --help",
    help="Train a task, or a recipe, many times: --grid units=32,64, --draw rate=1e-4..1e-2:log; --resume FOLDER.",
)
app.command(train_app)
app.command(sweep_app)
app.register_install_completion_command()

# What is done with runs: what it can be told, and the file of jaxrnn/runner/commands that does it.
ON_RUNS = {"eval": Eval, "predict": Predict, "inspect": Inspect, "compare": Compare, "export": Export}


def train_command(name: str, task: Task) -> Callable[..., None]:
    """The command `jaxrnn train NAME`, its options the fields of the task's configuration."""

    def command(*, config: Config | None = None, how: How | None = None) -> None:
        how, config = how or How(), config or task.config()
        if how.print_config:
            return print(as_toml(name, config), end="")
        if how.smoke:
            from jaxrnn.runner.smoke import smoke

            return smoke(name, config)
        from jaxrnn.runner.run import train

        train(name, config, how.resume)

    command.__annotations__["config"] = Annotated[task.config | None, Parameter(name="*")]
    command.__annotations__["how"] = Annotated[How | None, Parameter(name="*")]
    command.__doc__ = (task.config.__doc__ or "").partition("\n")[0]
    return command


def sweep_command(name: str, task: Task) -> Callable[..., None]:
    """The command `jaxrnn sweep NAME`: the options of `train NAME`, and what is varied."""

    def command(*, what: Sweep | None = None, config: Config | None = None) -> None:
        from jaxrnn.runner.commands.sweep import run

        run(name, cast(Trained, config or task.config()), what or Sweep())

    command.__annotations__["what"] = Annotated[Sweep | None, Parameter(name="*")]
    command.__annotations__["config"] = Annotated[task.config | None, Parameter(name="*")]
    command.__doc__ = (task.config.__doc__ or "").partition("\n")[0]
    return command


def command_on_runs(name: str, kind: type) -> Callable[..., None]:
    """The command `jaxrnn NAME`, its options the fields of `kind`."""

    def command(options: Any) -> None:
        importlib.import_module(f"jaxrnn.runner.commands.{name}").run(options)

    command.__annotations__["options"] = Annotated[kind, Parameter(name="*")]
    command.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return command


for task_name, task in TASKS.items():
    usages = {verb: f"Usage: {CALLED} {verb} [OPTIONS]" if task_name == OWN else None for verb in ("train", "sweep")}
    train_app.command(train_command(task_name, task), name=task_name, usage=usages["train"])
    if issubclass(task.config, Trained):
        sweep_app.command(sweep_command(task_name, task), name=task_name, usage=usages["sweep"])
for command_name, kind in ON_RUNS.items():
    app.command(command_on_runs(command_name, kind), name=command_name)


@app.command
def sample(run: Path, /, *, config: Annotated[Sample | None, Parameter(name="*")] = None) -> None:
    """Continue a prompt with a text run's best weights.

    Parameters
    ----------
    run
        The directory of a run of `jaxrnn train text`.
    """
    from jaxrnn.runner.loading import load_run
    from jaxrnn.runner.tasks.text import continue_prompt

    how = config or Sample()
    found = load_run(run, how.member)
    if not isinstance(found.config, Text):
        raise ValueError(f"run: {run} is a run of {found.name!r}, wanted one of 'text'")
    if found.config.seeds:
        print(f"jaxrnn: member {how.member} is seed {found.config.seeds[how.member]}", file=sys.stderr)
    vocabulary, level = found.problem.assets["vocabulary"], found.config.level
    print(continue_prompt(found.problem.layer, found.params, vocabulary, level, how))


@app.command
def bench(*, options: Annotated[Bench | None, Parameter(name="*")] = None) -> None:
    """Time jaxrnn against other libraries on this machine, or show and compare such results."""
    from jaxrnn.bench import report
    from jaxrnn.runner.console import make_console

    report.bench(options or Bench(), make_console())


@app.command
def doctor(*, options: Annotated[Doctor | None, Parameter(name="*")] = None) -> None:
    """Tell the versions, devices and settings that a run here would have, and what is missing."""
    from jaxrnn.runner.commands.doctor import run

    run(options or Doctor())


def recipe(verb: str, path: Path, tokens: Sequence[str]) -> list[str]:
    """The tokens with the recipe's task in its place; its options become defaults below the command line's.

    Raises ValueError when the file cannot be read, is not TOML, or names no task.
    """
    try:
        options: dict[str, Any] = tomllib.loads(read_small(path, 2**20))
    except OSError as error:
        raise ValueError(f"recipe: {path} cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"recipe: {path} cannot be read as TOML: {reason(error)}") from None
    return above(options, path, options.pop("task", None), tokens, verb)


def above(options: dict[str, Any], source: Path, task: Any, tokens: Sequence[str], verb: str = "train") -> list[str]:
    """The command to train `task`, or to sweep it, with the tokens' options above those of a file."""
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"recipe: {source} has task = {task!r}, wanted one of {', '.join(TASKS)}")
    given = {name: value for name, value in options.items() if value is not None}
    if "coordinator" in given:
        raise ValueError(f"recipe: {source} names a coordinator, wanted it on the command line alone: --coordinator")
    from_options(TASKS[task].config, given, str(source))  # cyclopts passes over an option named as a command is
    app.config = [Dict(given, source=str(source), use_commands_as_keys=False)]
    return [verb, task, *tokens]


def sweeping_on(tokens: Sequence[str]) -> list[str]:
    """`sweep --resume FOLDER`: the sweep's own task and options."""
    place = tokens.index("--resume")
    if len(tokens) == place + 1:
        raise ValueError("resume: got nothing, wanted the folder of a sweep")
    from jaxrnn.runner.config.reading import read_plan

    folder = Path(tokens[place + 1])
    found = read_plan(folder)
    rest = tokens[2:] if tokens[1] == found["task"] else tokens[1:]
    return above(found["config"], folder / "plan.json", found["task"], rest, "sweep")


def going_on(tokens: Sequence[str]) -> list[str]:
    """`train --resume RUN ...`, with or without its task: the run's own options below those of the command line."""
    place = tokens.index("--resume")
    if len(tokens) == place + 1:
        raise ValueError("resume: got nothing, wanted the directory of a run")
    from jaxrnn.runner.config.reading import read_run

    run = Path(tokens[place + 1])
    found = read_run(run)
    rest = list(tokens[1:])
    if rest[0] in TASKS:
        if rest[0] != found["task"]:
            raise ValueError(f"resume: {run} is a run of {found['task']!r}, got {rest[0]!r}")
        rest = rest[1:]
    options = found["config"] | {"coordinator": None}  # no file says whom to call
    return above(options, run / "run.json", found["task"], rest)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; what the user can mend is told in one line."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with catching():
            run(tokens)
    except CycloptsError:  # cyclopts has already said what is wrong
        raise SystemExit(USAGE) from None
    except ValueError as error:
        fail(error, USAGE)
    except FloatingPointError as error:
        fail(error, DIVERGED)
    except Stopped as stopped:
        fail(stopped.words or "interrupted", stopped.exit_code)
    except (RuntimeError, OSError, MemoryError, OverflowError) as error:
        fail(told(error) or type(error).__name__, FAILED)
    finally:
        app.config = []


def run(tokens: list[str]) -> None:
    tokens = [part for token in tokens for part in (token.split("=", 1) if token.startswith("--resume=") else [token])]
    if tokens[:1] == ["train"] and "--resume" in tokens:
        tokens = going_on(tokens)
    elif tokens[:1] == ["sweep"] and "--resume" in tokens:
        tokens = sweeping_on(tokens)
    elif len(tokens) > 1 and tokens[0] in ("train", "sweep") and tokens[1].lower().endswith(".toml"):
        tokens = recipe(tokens[0], Path(tokens[1]), tokens[2:])
    elif len(tokens) > 1 and tokens[0] in ("train", "sweep"):
        refuse_file(tokens[0], tokens[1])
    app(tokens, exit_on_error=False, result_action="return_value")


# Which tasks read a file that ends so.
READERS = {
    ".csv": ("series", "sequences"),
    ".npz": ("sequences",),
    ".txt": ("text",),
    ".mat": ("polymusic",),
    ".wav": ("speech",),
    ".tar": ("speech",),
}


def refuse_file(verb: str, word: str) -> None:
    """Raises ValueError where a file of data stands in a task's place."""
    if word in TASKS or word.startswith("-"):
        return
    path = Path(word)
    suffix = path.with_suffix("").suffix if path.suffix in (".gz", ".bz2", ".xz") else path.suffix
    if suffix in READERS or path.exists():
        tasks = READERS.get(suffix, ("TASK",))
        ways = " or ".join(f"jaxrnn {verb} {task} --data {word}" for task in tasks)
        raise ValueError(f"{verb}: {word} is no task; a file of data goes to --data: {ways}")


def fail(words: object, code: int) -> None:
    print(f"jaxrnn: {printable(words)}", file=sys.stderr)
    raise SystemExit(code)
