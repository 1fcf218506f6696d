"""The continual grammar: its streams, its network, when a stream ends, and how a trial is judged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from grammar import EMBEDDED
from tiny import close

from jaxrnn import Layer
from jaxrnn.runner.best import scored
from jaxrnn.runner.config import Cerg
from jaxrnn.runner.generators.reber import SYMBOLS, following
from jaxrnn.runner.tasks import cerg
from jaxrnn.runner.tasks.cerg import CHAIN, Place, flips, walk


def read_off(symbols):
    return "".join(SYMBOLS[k] for k in symbols.tolist())


def test_streams_are_embedded_strings_and_say_what_may_follow():
    _, found = walk(jnp.zeros(3, jnp.int32), flips(np.random.default_rng(0), 3000, 3))
    for k in range(3):
        stream = read_off(found.xs[:, k])
        strings = [match[0] for match in re.finditer(EMBEDDED, stream)]
        whole = "".join(strings)
        assert len(strings) > 200
        assert stream.startswith(whole)
        assert len(stream) - len(whole) < 60, "a string that is not whole yet"
        may = [symbols for string in strings for symbols in (*following(string), "B")]
        told = ["".join(SYMBOLS[s] for s in np.flatnonzero(row)) for row in np.asarray(found.ys[: len(whole), k])]
        assert [set(symbols) for symbols in told] == [set(symbols) for symbols in may]


def test_what_has_to_be_remembered_is_the_second_symbol_until_it_comes_again():
    probed = cerg.probed()
    for k in range(3):
        for match in re.finditer(EMBEDDED, read_off(probed.xs[:, k])):
            for mark in "TP":
                held = [mark == match[0][1]] * (len(match[0]) - 3)
                kept = probed.labels[f"{mark} is to be repeated"][slice(*match.span()), k]
                assert kept.tolist() == [False, *held, False, False]


def test_a_stream_cut_anywhere_goes_on():
    ways = flips(np.random.default_rng(1), 40, 2)
    place, found = walk(jnp.zeros(2, jnp.int32), ways)
    middle, first = walk(jnp.zeros(2, jnp.int32), ways[:17])
    end, second = walk(middle, ways[17:])
    close(place, end)
    close(found, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second))


def test_a_symbol_is_an_input_of_its_own():
    """Which inspect needs, to go from nothing to the symbol."""
    layer, symbols = cerg.network(Cerg()), np.arange(7)
    params = layer.init(jax.random.key(0))
    inputs = np.eye(7, dtype=params[0].w_x.dtype)
    close(layer.apply(params, layer.carry((), params), inputs), layer.apply(params, layer.carry((), params), symbols))


@pytest.mark.parametrize(("forget", "weights"), [(True, 424), (False, 360)])
def test_as_many_weights_as_in_the_paper(forget, weights):
    params = jax.eval_shape(cerg.network(Cerg(forget=forget)).init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == weights


def test_gates_begin_as_in_the_paper_and_all_else_is_drawn():
    cell, out = cerg.network(Cerg()).init(jax.random.key(0))
    falling, rising = [-0.5, -1, -1.5, -2], [0.5, 1, 1.5, 2]
    np.testing.assert_array_equal(cell.b, [*falling, *rising, *falling])
    for drawn in (cell.w_x, cell.w_h, out.w, out.b):
        assert 0.6 * 0.2 < abs(drawn).max() < 0.2
        assert len(set(np.ravel(drawn).tolist())) == drawn.size


def test_outputs_see_the_inputs():
    layer = cerg.network(Cerg())
    cell, out = layer.init(jax.random.key(0))
    blind = jax.tree.map(jnp.zeros_like, cell)  # cells that stay at 0
    xs = jnp.arange(7)[:, None]
    _, logits = layer.apply((blind, out), layer.carry((1,)), xs)
    close(logits[:, 0], out.w[:7] + out.b)


@pytest.mark.parametrize(
    ("outputs", "wrong"),
    [
        ([0.5, 0.5], True),  # undecided between two
        ([0.51, 0.49], False),
        ([0.302, 0.01], False),
        ([0.298, 0.01], True),
        ([0.99, 0.698], False),
        ([0.99, 0.702], True),
        ([np.nan, 0.01], True),
    ],
)
def test_an_error_is_49_hundredths_in_all(outputs, wrong):
    p, ys = jnp.array(outputs), jnp.array([1.0, 0.0])
    assert bool(cerg.is_error(jnp.log(p / (1 - p)), ys)) == wrong


def knowing():
    """A layer that knows the grammar, and says the opposite at symbol number params of each stream, counted from 0."""

    def step(fails, carry, x):
        place, count = carry
        here = jnp.asarray(CHAIN.symbols)[place] == x[..., None]
        to = jnp.asarray(CHAIN.to)[place, here.argmax(-1).astype(jnp.int32)]
        sure = jnp.where(count == fails, -9.0, 9.0)[..., None]
        return (to, count + 1), sure * jnp.where(jnp.asarray(CHAIN.may)[to], 1.0, -1.0)

    def apply(fails, carry, xs, **where):
        return jax.lax.scan(lambda carry, x: step(fails, carry, x), carry, xs)

    return Layer(
        init=lambda key: jnp.zeros(2, jnp.int32),
        carry=lambda batch, params=None: (jnp.zeros(batch, jnp.int32),) * 2,
        apply=apply,
    )


def test_a_stream_is_as_long_as_it_is_predicted(monkeypatch):
    """Also where it is judged piece by piece, the last one shorter."""
    monkeypatch.setattr(cerg, "PIECE", 40)
    monkeypatch.setattr(cerg, "GOOD", 50)
    never = np.full(10, 1000, np.int32)
    early, late = never.copy(), never.copy()
    early[:] = 30
    early[0], late[3] = 0, 89
    judge = cerg.make_judge(knowing(), stream=90)
    found = judge(jnp.array([never, early, late]), "test")
    close(found["length"], np.array([90, 27, 89.9]))
    close(found["perfect"], np.array([1.0, 0, 0]))
    close(found["good"], np.array([0.0, 0, 1]))


def test_a_stream_with_an_error_begins_anew_and_the_others_go_on():
    layer = knowing()
    ways = flips(np.random.default_rng(2), 25, 2)
    at = cerg.begin(layer, None, 2)
    value, after = cerg.make_loss(layer)(jnp.array([7, 25], jnp.int32), at, ways, jax.random.key(0))
    place, _ = walk(at.grammar, ways)
    assert place[0] != 0
    close(after, Place(jnp.array([0, place[1]]), (jnp.array([0, place[1]]), jnp.array([0, 25]))))
    close(
        value, np.float64(7) * (np.log1p(np.exp(-9.0)) + 9 / 50), 1e-6
    )  # one of 50 predictions is wrong in all its 7 outputs


def test_seeds_judged_together_are_judged_as_each_alone(monkeypatch):
    monkeypatch.setattr(cerg, "network", lambda config: knowing())
    problem = cerg.make(Cerg(stream=50))
    params = np.array([[50] * 10, range(10), range(40, 50)], np.int32)
    together = scored(problem, params, "valid", (0, 1, 2))
    assert together["length"].tolist() == [50, 4.5, 44.5]
    for k, one in enumerate(params):
        assert {name: values[k] for name, values in together.items()} == scored(problem, one, "valid", 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "lsmt"}, "cerg has no cell 'lsmt'"),
        ({"cell": "gru", "forget": False}, "forget: got no forget gates and cell gru, wanted cell lstm2000"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        cerg.make(Cerg(**options))
