"""Every task's network as `jaxrnn export` writes it gives what the network gives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.runner.commands.export import function, named, serialized, streamed, streams
from jaxrnn.runner.config import Trained
from jaxrnn.runner.tasks import TASKS

OPTIONS = {name: [{}] for name, task in TASKS.items() if issubclass(task.config, Trained)}
del OPTIONS["translate"]  # which shows no example of its input, so that it is not exported
OPTIONS["series"] += [{"around": "last"}, {"around": "level"}]
CASES = [(name, options) for name, several in OPTIONS.items() for options in several]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_file_gives_what_the_network_gives(name, options, tmp_path):
    task = TASKS[name]
    config = dataclasses.replace(task.config(), **task.config.SMOKE | task.stand_in(tmp_path) | options)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem = task.make(config)
        assert problem.example
        params, example = problem.layer.init(jax.random.key(0)), np.asarray(problem.example())
        params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # none of them 0, so that all take part
        xs = jnp.stack([example, example[::-1]], 1)
        found = jax.export.deserialize(bytearray(serialized(problem, params, example))).call(named(params), xs)
        wanted = function(problem.layer, params)(named(params), xs)
        close(found, wanted)
        if not streams(problem):
            return
        stream = jax.export.deserialize(bytearray(streamed(problem.layer, params, example)))
        state, cut, pieces = named(problem.layer.carry((2,), params)), len(xs) // 2, []
        for piece in (xs[:cut], xs[cut:]):
            state, ys = stream.call(named(params), state, piece)
            pieces.append(ys)
        close(jnp.concatenate(pieces) if len(wanted) == len(xs) else pieces[-1], wanted)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)  # float32
