"""What the tests of every framework share: our values and gradients in float32, and what agreement means."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

T, B = 5, 2
TOLERANCE = 1e-6  # float32, relative to the largest number of each array, or to 0.1: larger terms may have cancelled


def randomized(seed: int, tree: Any, dtype: Any = np.float32) -> Any:
    """Normal numbers in the shape of every leaf, of the size of weights."""
    numbers = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(numbers.normal(size=a.shape) / 2, dtype), tree)


def made(layer: Any, seed: int = 0) -> Any:
    """Random float32 params of a layer, none left at zero."""
    return randomized(seed, jax.eval_shape(layer.init, jax.random.key(0)))


def pulled(layer: Any, params: Any, carry: Any, xs: Any, d_ys: Any, d_carry: Any = None) -> tuple[Any, Any, Any]:
    """(carry, ys), then the gradients of params and of (carry, xs), for given gradients of ys and carry."""
    xs, d_ys = jnp.asarray(xs), jnp.asarray(d_ys)
    after, pull = jax.vjp(lambda p, c, x: layer.apply(p, c, x), params, carry, xs)
    zeros = jax.tree.map(jnp.zeros_like, after[0])
    d_params, d_before, d_xs = pull((zeros if d_carry is None else d_carry, d_ys))
    return after, d_params, (d_before, d_xs)


def close(a: Any, b: Any, name: str = "") -> None:
    """Two trees agree, relative to the largest number in each leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b), name
    for (place, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        where = name + jax.tree_util.keystr(place)
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), where
        np.testing.assert_allclose(x, y, rtol=0, atol=TOLERANCE * np.abs(y).max(initial=0.1), err_msg=where)


def same(a: Any, b: Any) -> None:
    """Two (layer, params) are the same, bit for bit."""
    (layer, params), (other, others) = a, b
    assert layer.spec == other.spec
    assert jax.tree.structure(params) == jax.tree.structure(others)
    for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(others), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def refused(message: str, call: Any, *arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"^(from|to)_\w+: [^\n]+$") as error:
        call(*arguments)
    assert str(error.value) == message


def agree(layer: Any, params: Any, carry: Any, xs: Any, theirs: Any, weights: Any, convert: Any, as_carry: Any) -> None:
    """Ours and theirs(weights, carry, xs) -> (carry, ys), written in JAX too, agree in values and every gradient.

    convert(d_params) gives gradients in the places of `weights`; as_carry(carry) is our carry as theirs.
    """
    (after, ys), pull = jax.vjp(standard(theirs), weights, as_carry(carry), xs)
    d_ys, d_after = randomized(2, (ys, after))
    d_weights, d_before, d_xs = pull((d_after, d_ys))
    d_carry = jax.tree.unflatten(jax.tree.structure(carry), jax.tree.leaves(as_carry_back(as_carry, carry, d_after)))
    (our_after, our_ys), d_params, (d_ours, d_our_xs) = pulled(layer, params, carry, xs, d_ys, d_carry)
    close((as_carry(our_after), our_ys), (after, ys), "values")
    close((as_carry(d_ours), d_our_xs), (d_before, d_xs), "gradients")
    close(convert(d_params), d_weights, "gradients of the weights")


def as_carry_back(as_carry: Any, carry: Any, theirs: Any) -> Any:
    """The inverse of as_carry, which only moves leaves about."""
    leaves, structure = jax.tree.flatten(carry)
    places = jax.tree.leaves(as_carry(structure.unflatten(range(len(leaves)))))
    given = dict(zip(places, jax.tree.leaves(theirs), strict=True))
    return structure.unflatten(given[k] for k in range(len(leaves)))


def standard(f: Any) -> Any:
    """f under JAX's usual promotion, which other frameworks count on, and compiled."""

    def g(*arguments: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return f(*arguments)

    return jax.jit(g)
