"""A configuration from a file, by the command's own rules: values of known options, and nothing else."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict

from jaxrnn.runner.config.base import Config
from jaxrnn.runner.files import read_small, reason

# What may be another when a run goes on: how long it is, when it looks and saves, and who computes it.
MAY_CHANGE = (
    *("steps", "evaluate_every", "patience", "checkpoint_every", "tensorboard", "watch"),
    *("coordinator", "processes", "process", "wait", "heartbeat"),
)

MOST = 10_000  # values of one option


def from_options(cls: type[Config], options: Mapping[str, Any], source: str) -> Any:
    """An instance of `cls`. Raises ValueError in one line that names the source and the option."""
    for name, value in options.items():
        if isinstance(value, list) and len(value) > MOST:
            raise ValueError(f"{name}: {source} has {len(value):,} of them, wanted at most {MOST:,}")
    app = App(result_action="return_value", help_flags=[], version_flags=[])

    def read(*, config: Any = None) -> Any:
        return config or cls()

    read.__annotations__["config"] = Annotated[cls | None, Parameter(name="*")]
    app.default(read)

    given = {name: value for name, value in options.items() if value is not None}
    app.config = [Dict(given, source=source, use_commands_as_keys=False)]
    try:
        return app([], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"{source} has what no option can be: {error}") from None


def as_options(config: Config) -> dict[str, Any]:
    """The fields as JSON and TOML can hold them."""
    values = dataclasses.asdict(config)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def refuse_changes(before: Config, now: Config) -> None:
    """A run goes on as it began. Raises ValueError naming the first option that is another."""
    for field in dataclasses.fields(before):
        was, is_now = getattr(before, field.name), getattr(now, field.name)
        if was != is_now and field.name not in MAY_CHANGE:
            raise ValueError(
                f"resume: {field.name} was {was} when the run began, got {is_now}; "
                f"what may change is {', '.join(MAY_CHANGE)}"
            )


def as_toml(task: str, config: Config) -> str:
    """The configuration as a recipe; what has no value is left out, as TOML has none for it."""
    options = as_options(config) | {"coordinator": None}  # which no file may say
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items() if value is not None]
    return "\n".join([f"task = {json.dumps(task)}", *lines, ""])


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan.json of a sweep. Raises ValueError where there is none, or where it is not a sweep's."""
    path = folder / "plan.json"
    try:
        found = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"resume: {folder} is not a sweep: plan.json cannot be read ({reason(error)})") from None
    wanted = {"task": str, "config": dict, "trials": list}
    for name, kind in wanted.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise ValueError(f"resume: {path} is not a sweep's: it has no {name}")
    if found["config"].get("coordinator") is not None:
        raise ValueError(f"resume: {path} names a coordinator, wanted it on the command line alone")
    if not found["trials"] or not all(map(_is_trial, found["trials"])):
        raise ValueError(f"resume: {path} is not a sweep's: a trial has no folder or no options")
    return found


def _is_trial(trial: Any) -> bool:
    """Its folder is one name, so that a plan from elsewhere leads nowhere else."""
    if not isinstance(trial, dict) or not isinstance(trial.get("options"), dict):
        return False
    folder = trial.get("folder")
    if not isinstance(folder, str) or Path(folder).name != folder:
        return False
    if trial["options"].get("coordinator") is not None:
        return False
    return folder not in ("", "..") and folder.isprintable() and len(folder) < 256


def read_run(directory: Path) -> dict[str, Any]:
    """The run.json of a run. Raises ValueError where there is none, or where it is not a run's."""
    path = directory / "run.json"
    try:
        found = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"run: {directory} is not a run: run.json cannot be read ({reason(error)})") from None
    wanted = {"task": str, "config": dict, "status": str}
    for name, kind in wanted.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise ValueError(f"run: {path} is not a run's: it has no {name}")
    for name, kind in KINDS.items():
        if name in found and not _is_of(found[name], kind):
            said = f"run: {path}, of the task {found['task']!r}"
            if found["task"] == "article":
                raise ValueError(f"{said}, is of several networks at once, wanted a run of another task")
            raise ValueError(f"{said}, is not that of a trained network: its {name} is of another type")
    return found


NUMBER, WORDS = int | float | None, str | None
# What run.json may have beside: a type, of each in a list, or by name.
KINDS: dict[str, Any] = {
    "assets": dict | None,
    "best": dict | None,
    "data_sha256": WORDS,
    "earlier": [{"seconds": NUMBER}],
    "error": WORDS,
    "judged": {"split": str, "loss": str, "better": str, "unit": str},
    "metrics": {...: NUMBER | list},
    "parameters": NUMBER,
    "seconds": NUMBER,
}


def _is_of(value: Any, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is_of(each, kind[0]) for each in value)
    if isinstance(kind, dict):
        each = kind.get(...)
        names = value if each is not None else kind
        return isinstance(value, dict) and all(_is_of(value.get(name), kind.get(name, each)) for name in names)
    return isinstance(value, kind)
