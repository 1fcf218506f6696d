"""Every recipe in experiments/ is one, and --smoke goes through all of it."""

import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxrnn.runner.config.reading import from_options
from jaxrnn.runner.tasks import TASKS

FOLDER = Path(__file__).parent.parent / "experiments"
RECIPES = {path.stem: path for path in sorted(FOLDER.glob("*.toml")) if path.stem != "table"}


@pytest.mark.parametrize("name", sorted({*RECIPES} - {"article"}))  # which has no training loop
def test_a_recipe_has_a_loss_on_the_stand_in(name, tmp_path):
    options = tomllib.loads(RECIPES[name].read_text(encoding="utf-8"))
    task = TASKS[options.pop("task")]
    config = from_options(task.config, options, str(RECIPES[name]))
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem = task.make(dataclasses.replace(config, **config.SMOKE | task.stand_in(tmp_path)))
        params = problem.layer.init(jax.random.key(0))
        carry = problem.carry(params)
        loss, _ = jax.eval_shape(problem.loss, params, carry, problem.batch(0, 0), jax.random.key(1))
    assert loss == jax.ShapeDtypeStruct((), jnp.float32)


@pytest.mark.parametrize("name", RECIPES)
def test_smoke_goes_through_all_of_a_recipe(name):
    """In a process of its own, with JAX as a user has it."""
    command = [Path(sys.executable).with_name("jaxrnn"), "train", RECIPES[name], "--smoke"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "all of it works" in done.stdout, done.stderr
