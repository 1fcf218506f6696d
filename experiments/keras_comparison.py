"""The article's three programs in Keras (JAX backend) and in jaxrnn, side by side on this machine.

    pip install -e ".[cli]" keras && python experiments/keras_comparison.py

Each program runs as a process of its own, in turn, `ROUNDS` times. Told apart: the time of an epoch once compiled (for
Keras the median over the later epochs), and the whole process, with import, data and compilation counted; jaxrnn's
also writes its checkpoint, plot and records. Prints the medians and their ratio and writes
experiments/results/keras_comparison.json.
"""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cyclopts

ROUNDS = 3
PROGRAMS = {"elman": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
RESULTS = Path(__file__).parent / "results" / "keras_comparison.json"

KERAS = """
import sys, time
import keras
import numpy as np

class Watch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()
    def on_epoch_end(self, epoch, logs=None):
        seconds.append(time.perf_counter() - self.began)

seconds = []
keras.utils.set_random_seed(0)
xs, ys = np.random.rand(100, 10, 1), np.random.rand(100, 1)
recurrent = getattr(keras.layers, sys.argv[1])(10, activation="tanh")
model = keras.Sequential([keras.Input((10, 1)), recurrent, keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
model.fit(xs, ys, epochs=100, batch_size=1, shuffle=True, verbose=0, callbacks=[Watch()])
print(sorted(seconds[1:])[len(seconds[1:]) // 2])
"""


def main() -> None:
    """Run each program several times, and write results/keras_comparison.json."""
    rows = {}
    for cell, keras_name in PROGRAMS.items():
        rounds = [(keras(keras_name), jaxrnn(cell)) for _ in range(ROUNDS)]
        rows[cell] = {
            side: {
                "seconds_per_epoch": statistics.median(r[k][0] for r in rounds),
                "seconds_in_total": statistics.median(r[k][1] for r in rounds),
            }
            for k, side in enumerate(("keras", "jaxrnn"))
        }
        print(cell, *(f"{name} {jaxrnn_against_keras(rows[cell], name)}" for name in rows[cell]["keras"]), sep="   ")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"programs": rows, **provenance()}, indent=2) + "\n")


def jaxrnn_against_keras(row: dict[str, dict[str, float]], name: str) -> str:
    ours, theirs = row["jaxrnn"][name], row["keras"][name]
    return f"{ours:.4f} against {theirs:.4f}: {theirs / ours:.1f} times as fast"


def keras(layer: str) -> tuple[float, float]:
    """(seconds an epoch, seconds in total)"""
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    out, total = timed([sys.executable, "-c", KERAS, layer], environment)
    return float(out.split()[-1]), total


def jaxrnn(cell: str) -> tuple[float, float]:
    """(seconds an epoch, seconds in total)"""
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "run"
        command = [str(Path(sys.executable).with_name("jaxrnn")), "train", "article", "--cell", cell]
        _, total = timed([*command, "--out", str(directory)], dict(os.environ))
        metrics = json.loads((directory / "run.json").read_text())["metrics"]
    return metrics[cell]["milliseconds_per_epoch"] / 1000, total


def timed(command: list[str], environment: dict[str, str]) -> tuple[str, float]:
    began = time.perf_counter()
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return out, time.perf_counter() - began


def provenance() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return {
        "command": "python experiments/keras_comparison.py",
        "rounds": ROUNDS,
        "commit": commit.stdout.strip(),
        "versions": {name: importlib.metadata.version(name) for name in ("jaxrnn", "jax", "keras", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


if __name__ == "__main__":
    cyclopts.run(main)
