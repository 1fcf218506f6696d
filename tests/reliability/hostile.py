"""Files that want to harm whoever opens them: recipes, runs, sweeps, checkpoints and weights.

Each case is made in a folder of its own, and is the words of a command that meets it there.
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reliability.watched import MARK

CALL = f"__import__('{MARK}').spring()"
TINY = "steps = 2\nunits = 2\nembedding = 2\nbatch = 1\nlength = 4\n"
DEEP = 100_000


class Trap:
    def __reduce__(self):
        return eval, (CALL,)


PICKLE = pickle.dumps(Trap())
YAML = f"!!python/object/apply:{MARK}.spring []\n"

# -- recipes

RECIPES: dict[str, bytes | str] = {
    "pickle": PICKLE,
    "yaml": YAML,
    "python": f"import {MARK}\n{CALL}\n",
    "zeros": bytes(1000),
    "UTF-16": 'task = "text"\n'.encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf" + b'task = "text"\n',
    "latin-1": 'task = "té"\n'.encode("latin-1"),
    "deep lists": "a = " + "[" * DEEP + "]" * DEEP,
    "deep tables": 'task = "text"\na = ' + "{b = " * DEEP + "1" + "}" * DEEP,
    "dotted keys": 'task = "text"\n' + ".".join("a" * 2000) + " = 1\n",
    "twice": 'task = "text"\nunits = 1\nunits = 2\n',
    "no task": "units = 3\n",
    "task is a list": 'task = ["text"]\n',
    "task is a table": f'task = {{_target_ = "{MARK}.spring"}}\n',
    "task is a module": f'task = "{MARK}.make"\n',
    "task is a path": 'task = "../../text"\n',
    "task is an attribute": 'task = "__class__"\n',
    "task looks like text": 'task = "t\u0435xt"\n',  # the e is Cyrillic
    "task is a command of the terminal": 'task = "\\u001b]0;title\\u0007\\u001b[2J"\n',
    "task turns the line round": 'task = "\\u202etxet"\n',
    "a target": f'task = "text"\n_target_ = "{MARK}.spring"\n',
    "a class path": f'task = "text"\nclass_path = "{MARK}.Trap"\n[init_args]\nx = 1\n',
    "an option that looks like another": 'task = "text"\n"\uff55nits" = 3\n',
    "the option of an object": 'task = "text"\n"__class__" = "x"\n',
    "the option of the command": 'task = "text"\nprint_config = true\nhelp = true\n',
    "a file of options": 'task = "text"\nconfig = "/etc/passwd"\n',
    "cell is code": f'task = "text"\ncell = "{CALL}"\n',
    "cell is a module": f'task = "text"\ncell = "{MARK}.spring"\n',
    "cell is an attribute": 'task = "text"\ncell = "__init__"\n',
    "optimizer is a module": f'task = "text"\noptimizer = "{MARK}.spring"\n',
    "optimizer is another function": 'task = "text"\noptimizer = "tree_utils"\n',
    "optimizer is an attribute": 'task = "text"\noptimizer = "__builtins__"\n',
    "units are a text": f'task = "text"\nunits = "{CALL}"\n',
    "units are a list": 'task = "text"\nunits = [1, 2]\n',
    "units are a table": 'task = "text"\n[units]\na = 1\n',
    "units are a date": 'task = "text"\nunits = 1979-05-27\n',
    "units are true": 'task = "text"\nunits = true\n',
    "units are negative": 'task = "text"\nunits = -1\n',
    "units are not finite": 'task = "text"\nunits = inf\n',
    "units are half": 'task = "text"\nunits = 0.5\n',
    "units have 5000 digits": 'task = "text"\nunits = ' + "9" * 5000 + "\n",
    "units have 400 digits": 'task = "text"\nunits = ' + "9" * 400 + "\n",
    "a million million units": TINY.replace("units = 2", "units = 1000000000000") + 'task = "text"\n',
    "a million million layers": TINY + 'layers = 1000000000000\ntask = "text"\n',
    "a million million sequences": TINY.replace("batch = 1", "batch = 1000000000000") + 'task = "text"\n',
    "a million million steps of a window": TINY.replace("length = 4", "length = 1000000000000") + 'task = "text"\n',
    "a million seeds": TINY + f'seeds = {list(range(1_000_000))}\ntask = "text"\n',
    "steps past 64 bits": TINY.replace("steps = 2", f"steps = {2**70}") + 'task = "text"\n',
    "rate is no number": 'task = "text"\nrate = nan\n',
    "rate is not finite": 'task = "text"\nrate = inf\n',
    "seed past 32 bits": 'task = "text"\nseed = 4294967296\n',
    "out has a NUL": TINY + 'task = "text"\nout = "a\\u0000b"\n',
    "out is long": TINY + f'task = "text"\nout = "{"a" * 5000}"\n',
    "out is there": TINY + 'task = "text"\nout = "."\n',
    "out is below a file": TINY + 'task = "text"\nout = "recipe.toml/run"\n',
    "data has a NUL": TINY + 'task = "text"\ndata = "a\\u0000b"\n',
    "data is a device": TINY + 'task = "text"\ndata = "/dev/zero"\n',
    "data is a folder": TINY + 'task = "text"\ndata = "."\n',
    "data is an address": TINY + 'task = "text"\ndata = "http://127.0.0.1:9/x"\n',
    "data is a user's folder": TINY + 'task = "text"\ndata = "~root/x"\n',
    "data is the recipe": TINY + 'task = "series"\ndata = "recipe.toml"\n',
    "data is a long name": TINY + f'task = "text"\ndata = "{"a/" * 5000}"\n',
}

# -- run.json

RECORDS: dict[str, Any] = {
    "pickle": PICKLE,
    "yaml": YAML,
    "empty": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep tables": '{"a":' * DEEP + "1" + "}" * DEEP,
    "a number of 5000 digits": '{"task": ' + "9" * 5000 + "}",
    "a list": "[1, 2]",
    "a number": "NaN",
    "task is a module": {"task": f"{MARK}.make"},
    "task is a path": {"task": "../text"},
    "task is a number": {"task": 3},
    "task is a command of the terminal": {"task": "\x1b]0;title\x07\r\n"},
    "config is a list": {"config": []},
    "config has a target": {"config": {"_target_": f"{MARK}.spring"}},
    "config has an attribute": {"config": {"__class__": "x"}},
    "config's units are text": {"task": "text", "config": {"units": CALL}},
    "config's cell is a module": {"task": "text", "config": {"cell": f"{MARK}.spring"}},
    "config's data are a device": {"task": "text", "config": {"data": "/dev/zero"}},
    "config's values are tables": {"task": "text", "config": {"units": {"a": {"b": 1}}}},
    "assets are a list": {"task": "text", "assets": ["vocabulary"]},
    "assets lack all": {"task": "text", "assets": {"x": 1}},
    "vocabulary is a number": {"task": "text", "assets": {"vocabulary": 3}},
    "vocabulary is a table": {"task": "text", "assets": {"vocabulary": {"a": 1}}},
    "vocabulary is deep": {"task": "text", "assets": {"vocabulary": [[["a"]]]}},
    "vocabulary is empty": {"task": "text", "assets": {"vocabulary": ""}},
    "vocabulary is mixed": {"task": "text", "assets": {"vocabulary": ["a", 1, None]}},
    "earlier is of numbers": {"earlier": [1, 2]},
    "earlier is a table": {"earlier": {"a": 1}},
    "seconds are a text": {"earlier": [{"seconds": "long"}]},
}

# -- what else stands in a run's folder


def link_to(*names: str, target: str = "../outside/secret") -> Callable[[Path], None]:
    def make(run: Path) -> None:
        for name in names:
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.symlink_to(target)

    return make


def fifo(name: str) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return make


RUNS: dict[str, Callable[[Path], None]] = {
    "run.json is a link to a device": link_to("run.json", target="/dev/zero"),
    "run.json is a pipe": fifo("run.json"),
    "metrics.jsonl is a link": link_to("metrics.jsonl"),
    "report.md is a link": link_to("report.md"),
    "lock is a link": link_to("lock"),
    "owner is a link": link_to("owner"),
    "the picture is a link": link_to("learning_curve.png"),
    "tensorboard is a link": link_to("tensorboard", target="../outside"),
    "checkpoints are a link": link_to("checkpoints", target="../outside"),
    "a link that leads to itself": link_to("run.json.part", target="run.json.part"),
}

# -- the files of a checkpoint

STEP = "checkpoints/24"


def meta(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        path = run / STEP / "meta" / "metadata"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return make


def written(name: str, content: bytes | str) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        path = run / STEP / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        path = run / STEP / name
        before = path.read_text()
        assert old in before, name
        path.write_text(before.replace(old, new))

    return make


def every_array(content: bytes) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        for name in ("params", "best"):
            for path in (run / STEP / name).rglob("*"):
                if path.is_file() and path.parent.name == "d":
                    path.write_bytes(content)

    return make


def links_in(name: str, target: str) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        for path in sorted((run / STEP / name).rglob("*")):
            if path.is_file():
                path.unlink()
                path.symlink_to(target)

    return make


def dtypes(dtype: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda m: m | {"dtypes": {k: dict.fromkeys(d, dtype) for k, d in m["dtypes"].items()}}


def renamed(name: str) -> Callable[[Path], Any]:
    return lambda run: (run / STEP).rename(run / "checkpoints" / name)


def in_place(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def remake(run: Path) -> None:
        shutil.rmtree(run / STEP)
        make(run / STEP)

    return remake


CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "meta is a pickle": written("meta/metadata", PICKLE),
    "meta is a list": written("meta/metadata", "[]"),
    "meta is deep": written("meta/metadata", "[" * DEEP),
    "meta is large": lambda run: os.truncate(run / STEP / "meta/metadata", 2**27),
    "meta has no digests": meta(lambda m: {}),
    "digests are a text": meta(lambda m: m | {"digests": MARK}),
    "digests are numbers": meta(lambda m: m | {"digests": {k: dict.fromkeys(d, 1) for k, d in m["digests"].items()}}),
    "digests of other arrays": meta(lambda m: m | {"digests": {k: {f"../../{k}": "0"} for k in m["digests"]}}),
    "digests of nothing": meta(lambda m: m | {"digests": {k: {} for k in m["digests"]}}),
    "dtypes are objects": meta(dtypes("O")),
    "dtypes are huge": meta(dtypes("V2000000000")),
    "dtypes are modules": meta(dtypes(f"{MARK}.spring")),
    "dtypes are numbers": meta(dtypes(7)),
    "dtypes are lists": meta(dtypes([["a", "O"]])),
    "dtypes are commands": meta(dtypes(f"f4,({2**60},)f8")),
    "pending is a text": meta(lambda m: m | {"pending": CALL}),
    "handlers are modules": replaced("_CHECKPOINT_METADATA", "orbax.checkpoint._src.handlers", MARK),
    "handlers are deep": written("_CHECKPOINT_METADATA", '{"item_handlers":' * 10_000 + "1" + "}" * 10_000),
    "the tree is a pickle": written("best/_METADATA", PICKLE),
    "the tree's types are modules": replaced("best/_METADATA", "np.ndarray", f"{MARK}.Trap"),
    "the tree's names lead out": replaced("best/_METADATA", '"score"', '"../../../outside/x"'),
    "the tree is deep": written("best/_METADATA", '{"tree_metadata":' * 10_000 + "1" + "}" * 10_000),
    "the manifest is a pickle": written("best/manifest.ocdbt", PICKLE),
    "the manifest is long": written("best/manifest.ocdbt", bytes(2**24)),
    "arrays are pickles": every_array(PICKLE),
    "arrays are links to a device": links_in("best", "/dev/zero"),
    "arrays are links out": links_in("best", "/etc/passwd"),
    "arrays are zeros": every_array(bytes(1000)),
    "meta is a link": links_in("meta", "/dev/zero"),
    "a step of another alphabet": renamed("\u0662\u0664"),
    "a step that is a file": in_place(lambda path: path.write_bytes(PICKLE)),
    "a step of 200 digits": renamed("9" * 200),
    "a step before the first": renamed("-24"),
    "a step that is a pipe": in_place(os.mkfifo),
    "of another version": meta(lambda m: m | {"format": 7}),
}

# -- plan.json of a sweep

PLAN = {"task": "text", "config": {}, "trials": [{"folder": "01", "options": {"units": 2}}]}
PLANS: dict[str, Any] = {
    "pickle": PICKLE,
    "deep": "[" * DEEP,
    "no trial": PLAN | {"trials": []},
    "task is a module": PLAN | {"task": f"{MARK}.make"},
    "trials are numbers": PLAN | {"trials": [1]},
    "options are a list": PLAN | {"trials": [{"folder": "01", "options": [1]}]},
    **{
        f"a folder that is {name}": PLAN | {"trials": [{"folder": folder, "options": {"units": 2}}]}
        for name, folder in {
            "above": "..",
            "elsewhere": "../outside",
            "of the root": "/tmp/x",
            "this one": "",
            "a dot": ".",
            "a list": ["a"],
            "cut by a NUL": "a\0b",
            "a link": "link",
            "long": "a" * 5000,
        }.items()
    },
}

# -- weights and data


def npz(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    head = (header + "\n").encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def shaped(shape: Any, dtype: str = "<f4") -> str:
    return repr({"descr": dtype, "fortran_order": False, "shape": shape})


def objects() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Trap()], object), allow_pickle=True)
    return out.getvalue()


def header(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


ZEROS = bytes(2**28)
WEIGHTS: dict[str, bytes] = {
    "pickle.npz": PICKLE,
    "objects.npz": npz(**{"w.npy": objects()}),
    "code in a header.npz": npz(**{"w.npy": npy(f"{{'descr': {CALL}, 'fortran_order': False, 'shape': ()}}")}),
    "deep header.npz": npz(**{"w.npy": npy("(" * 9000)}),
    "huge shape.npz": npz(**{"w.npy": npy(shaped((10**13,)))}),
    "huge shape of nothing.npz": npz(**{"w.npy": npy(shaped((10**30, 0)))}),
    "negative shape.npz": npz(**{"w.npy": npy(shaped((-1, 4)))}),
    "shape of words.npz": npz(**{"w.npy": npy(shaped(("a",)))}),
    "bomb.npz": npz(**{"w.npy": npy(shaped((2**26,)), ZEROS)}),
    "a name that leads out.npz": npz(**{"../../w.npy": npy(shaped((2, 2)), bytes(16))}),
    "cut short.npz": npz(**{"w.npy": npy(shaped((2, 2)), bytes(16))})[:-30],
    "pickle.safetensors": PICKLE,
    "long header.safetensors": struct.pack("<Q", 2**63) + b"{}",
    "deep header.safetensors": header('{"w":' * DEEP),
    "huge shape.safetensors": header(f'{{"w":{{"dtype":"F32","shape":[{10**12}],"data_offsets":[0,4]}}}}') + bytes(4),
    "offsets elsewhere.safetensors": header(f'{{"w":{{"dtype":"F32","shape":[1],"data_offsets":[{2**40},4]}}}}'),
    "a dtype that is none.safetensors": header(f'{{"w":{{"dtype":"{MARK}","shape":[1],"data_offsets":[0,4]}}}}'),
}
DATA = {name: content for name, content in WEIGHTS.items() if name.endswith(".npz")}


# -- all of them


def cases(place: Path, run: Path, every: bool) -> dict[str, tuple[Path, list[str]]]:
    """Name -> (the folder, the words of the command); `run` is an honest one.

    `every`: each file meets each command that reads it; otherwise every second file one of them, in turn.
    """
    found: dict[str, tuple[Path, list[str]]] = {}

    def new(name: str) -> Path:
        folder = place / str(len(found))
        folder.mkdir()
        (folder / "outside").mkdir()
        (folder / "outside" / "secret").write_text("as it was")
        return folder

    def put(path: Path, content: Any) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    for name, content in RECIPES.items():
        folder = new(name)
        put(folder / "recipe.toml", content)
        found[f"recipe: {name}"] = folder, ["train", "recipe.toml"]

    def copy(name: str, one_step: bool = True) -> Path:
        folder = new(name)
        shutil.copytree(run, folder / "run")
        shutil.rmtree(folder / "run" / "checkpoints" / "20")
        return folder

    record = json.loads((run / "run.json").read_text())
    readers = [["eval", "run"], ["train", "--resume", "run"], ["compare", "run", "run", "--out", "compared"]]
    for k, (name, content) in enumerate(RECORDS.items()):
        for words in readers if every else [readers[k % 3]]:
            folder = new(name)
            (folder / "run").mkdir()
            (folder / "run" / "metrics.jsonl").write_text("")
            put(folder / "run" / "run.json", json.dumps(record | content) if isinstance(content, dict) else content)
            found[f"run.json, {words[0]}: {name}"] = folder, words
    for name, change in RUNS.items():
        folder = copy(name)
        change(folder / "run")
        found[f"run: {name}"] = folder, ["train", "--resume", "run", "--steps", "26"]
    readers = [["eval", "run"], ["train", "--resume", "run", "--steps", "26"]]
    for k, (name, change) in enumerate(CHECKPOINTS.items()):
        for words in readers if every else [readers[k % 7 == 0]]:
            folder = copy(name)
            change(folder / "run")
            found[f"checkpoint, {words[0]}: {name}"] = folder, words
    for name, content in PLANS.items():
        folder = new(name)
        (folder / "sweep").mkdir()
        (folder / "sweep" / "link").symlink_to("../outside")
        put(folder / "sweep" / "plan.json", json.dumps(content) if isinstance(content, dict) else content)
        found[f"plan.json: {name}"] = folder, ["sweep", "--resume", "sweep"]
    for name, content in WEIGHTS.items():
        folder = new(name)
        put(folder / name, content)
        found[f"weights: {name}"] = folder, ["load", name]
    for name, content in DATA.items():
        folder = new(name)
        put(folder / name, content)
        found[f"data: {name}"] = folder, ["train", "sequences", "--data", name]
    return found if every else dict(list(found.items())[::2])
