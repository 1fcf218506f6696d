"""What a run here would have: versions, devices, methods, settings, and what is missing."""

import importlib.metadata
import inspect
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import CELLS, lstm, unroll
from jaxrnn.methods import auto, serving
from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Doctor
from jaxrnn.runner.console import make_console

NEEDED = (
    "jaxrnn",
    "jax",
    "jaxlib",
    "jaxtyping",
    "numpy",
    "optax",
    "orbax-checkpoint",
    "cyclopts",
    "rich",
    "matplotlib",
)
OPTIONAL = {
    "flatbuffers": "jaxrnn export",
    "safetensors": "jaxrnn export, weights as .safetensors",
    "tensorboardX": "jaxrnn train --tensorboard",
    "sacrebleu": "jaxrnn train translate",
    "flax": "jaxrnn.nnx, weights from and to Flax, jaxrnn bench",
    "torch": "weights from and to PyTorch, jaxrnn bench",
    "keras": "weights from and to Keras, jaxrnn bench",
    "dm-haiku": "weights from and to Haiku, jaxrnn bench",
    "equinox": "weights from and to Equinox, jaxrnn bench",
    "onnx": "weights from and to ONNX",
}
SETTINGS = {
    "XLA_FLAGS": "options of the compiler",
    "JAX_PLATFORMS": "which kind of device is used",
    "JAX_ENABLE_X64": "float64 where JAX would take float32",
    "JAX_NUM_CPU_DEVICES": "how many devices the CPU is taken for",
    "JAX_COMPILATION_CACHE_DIR": "where compiled programs are kept for the next start",
    "JAX_DEFAULT_MATMUL_PRECISION": "how exact products are",
    "JAX_DISABLE_JIT": "nothing is compiled: every step is slow",
    "JAX_DEBUG_NANS": "every operation is checked: slow",
    "JAX_COORDINATOR_ADDRESS": "what --coordinator is when not given",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "whether a GPU's memory is taken at once",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "how much of a GPU's memory is taken",
    "CUDA_VISIBLE_DEVICES": "which GPUs are seen",
    "OMP_NUM_THREADS": "threads of libraries beside XLA",
    "NO_COLOR": "no colours",
}
ASKED = ("elman", "lstm", "lstm_full", "gru", "mingru", "lru")


def run(options: Doctor) -> None:
    """Print what was found; there is nothing that it fails on."""
    console = make_console()
    found = examine()
    if options.json:
        return console.out(showing.as_json(found), highlight=False)
    for title, part in found.items():
        console.out(f"\n{title}", highlight=False)
        for line in lines_of(part):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=not console.is_terminal)


def examine() -> dict[str, Any]:
    missing = {name: use for name, use in OPTIONAL.items() if version(name) is None}
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in (*NEEDED, *OPTIONAL)}},
        "missing, and what it is for": missing or "nothing",
        "devices": devices(),
        "memory and threads": machine(),
        "the method that auto takes": methods(),
        "tried": tried(),
        "settings that are not JAX's own": settings(os.environ) or "none",
        "notes": notes(os.environ, missing) or "none",
    }


def lines_of(part: Any) -> list[str]:
    if isinstance(part, Mapping):
        width = max(map(len, part), default=0)
        return [f"{key:<{width}}  {value}" for key, value in part.items() if value is not None]
    return part if isinstance(part, list) else [str(part)]


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> list[str]:
    """Each kind of device once, the ones that a run would take first."""
    kinds = [f"{d.platform}: {d.device_kind}" for d in jax.devices()]
    return [f"{kinds.count(kind)} of {kind}" for kind in dict.fromkeys(kinds)]


def machine() -> dict[str, str]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    out = {"system": f"{platform.system()} {platform.machine()}", "CPU cores": f"{usable} of {os.cpu_count()} usable"}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        out["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    return out


def methods() -> dict[str, str]:
    """What `auto` takes for a few cells, whatever the shape, and why, in the words of the code itself."""
    cells = {name: CELLS[name](8, 8) for name in ASKED}
    taken = {name: f"{auto(cell)}, of {', '.join(serving(cell))}" for name, cell in cells.items()}
    why = (inspect.getdoc(auto) or "").partition("\n\n")[2]
    return taken | {"shapes": "the same for all", "why": " ".join(why.split())}


def tried() -> dict[str, str]:
    """One gradient through an LSTM, as proof that the device computes."""
    began = time.perf_counter()
    layer = unroll(lstm(8, 8))
    params = layer.init(jax.random.key(0))

    @jax.jit
    def loss(params: Any) -> Any:
        return layer.apply(params, layer.carry((2,), params), jnp.ones((5, 2, 8)))[1].sum()

    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(jax.grad(loss)(params)))
    return {"an LSTM's gradient": f"{'finite' if finite else 'NOT finite'}, compiled in {since(began)}"}


def since(began: float) -> str:
    return f"{time.perf_counter() - began:.1f} s"


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{environment[name]} ({words})" for name, words in SETTINGS.items() if environment.get(name)}


def notes(environment: Mapping[str, str], missing: Mapping[str, str]) -> list[str]:
    """What is worth a thought."""
    out = []
    if not getattr(jax.config, "jax_compilation_cache_dir", None):
        out.append("no compilation cache: JAX_COMPILATION_CACHE_DIR=~/.cache/jax keeps what took long to compile")
    if "xla_backend_optimization_level=0" in environment.get("XLA_FLAGS", ""):
        out.append("XLA_FLAGS turns the compiler's optimisations off: runs are slow")
    if environment.get("JAX_DISABLE_JIT", "").lower() in ("1", "true", "yes", "on"):
        out.append("JAX_DISABLE_JIT: every step of the loop over time runs by itself")
    if jax.devices()[0].platform == "cpu" and Path("/proc/driver/nvidia/version").exists():
        out.append('an NVIDIA GPU is here that jax does not see: pip install "jax[cuda12]"')
    if "safetensors" in missing or "flatbuffers" in missing:
        out.append('jaxrnn export needs more: pip install "jaxrnn[export]"')
    return out
