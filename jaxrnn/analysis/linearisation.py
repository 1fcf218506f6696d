"""A network near a point, x held: which directions it keeps, and what of the input goes into them.

    F(h + dh, x + dx) = F(h, x) + J dh + B dx          J = dF/dh, B = dF/dx, F as in fixed_points.py
    J r_i = lambda_i r_i,  l_i J = lambda_i l_i,  l_i . r_j = (i = j)

to first order. Written in the directions r_i the network is n numbers that do not see each other:

    dh = sum over i of a_i r_i,  a_i = l_i . dh:       a_i' = lambda_i a_i + (l_i B) . dx

On a line attractor one lambda is near 1. Its right eigenvector lies along the line, and its left one, the selection
vector of Mante et al. 2013, says how far along it anything ends up: l_i B is what the line integrates of the input.
Maheswaranathan et al. 2019 read networks trained on sentiment that way, word by word.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, Int, Shaped

from jaxrnn import checks
from jaxrnn.analysis.saliency import symbols
from jaxrnn.analysis.stepping import flattened, widened
from jaxrnn.policy import default_float
from jaxrnn.types import Carry, Cell, Layer, Params
from jaxrnn.unrolling import unroll
from jaxrnn.words import describe


class Linearised(NamedTuple):
    """Of k points; the state's n numbers stand as in `flattened`. Both kinds of eigenvectors are rows."""

    jacobians: Float[np.ndarray, "k n n"]  # J[i, j] = dF(h)[i] / dh[j]
    input_jacobians: Float[np.ndarray, "k n n_in"]  # B[i, j] = dF(h)[i] / dx[j]
    eigenvalues: Complex[np.ndarray, "k n"]  # of J, the largest first
    right: Complex[np.ndarray, "k n n"]  # right[k, i] is of eigenvalues[k, i] and of length 1; its sign means nothing
    left: Complex[np.ndarray, "k n n"]  # left[k, i] @ right[k, j] is 1 for i = j, else 0


def linearised(network: Cell | Layer, params: Params, x: Shaped[Array, "..."], carries: Carry) -> Linearised:
    """The network near each state of `carries`, with the input x of one moment held.

    x         [n_in], or a whole number for a layer that begins with embed: its derivative is then that for shares of
              all symbols, n_in of them, and a difference of two columns what another symbol would change
    carries   a carry whose arrays have one leading axis, k: those of `fixed_points`, or any other states

    The Jacobians are computed in the carry's dtype, and decomposed in float64 on the host. The length of a left
    eigenvector is the condition number of its eigenvalue (Wilkinson 1965): 1 where J is normal, large where directions
    nearly coincide. Where some do, J is defective, and left @ right of these is below 1.

    Raises ValueError on a network that does not read from the start, on carries that are not as its own or narrower
    than float32, on an x that is no symbol of the layer's, and where a Jacobian is not finite.
    """
    layer = layer_of("linearised", network, params, "carries", carries)
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.integer) and (vocab := symbols(layer.spec)):
        if not bool(((x >= 0) & (x < vocab)).all()):  # one_hot would give zeros
            raise ValueError(f"linearised: x is {x}, wanted a symbol from 0 to {vocab - 1}")
        x = jax.nn.one_hot(x, vocab, dtype=default_float())
    checks.floats("linearised", "x", x, 1, "[n_in], or a whole number for a layer that begins with embed")
    if x.ndim != 1:
        raise ValueError(f"linearised: x is {describe(x)}, wanted [n_in], the input of one moment")
    J, B = (np.asarray(jacobians(layer, of, params, x, carries), np.float64) for of in (0, 1))
    finite = np.isfinite(np.concatenate([J, B], -1)).all((1, 2))
    if not finite.all():
        raise ValueError(f"linearised: the Jacobian of carries[{finite.argmin()}] is not finite; leave that state out")
    return Linearised(J, B, *eigen(J))


def eigen(
    jacobians: Float[np.ndarray, "k n n"],
) -> tuple[Complex[np.ndarray, "k n"], Complex[np.ndarray, "k n n"], Complex[np.ndarray, "k n n"]]:
    """(eigenvalues, right, left) as in Linearised.

    The left ones are the inverse of the right ones: those of the transposed matrix, found on their own, do not belong
    to them one by one where an eigenvalue is there twice. The pseudo-inverse, as two right ones may be the same.
    """
    values, columns = np.linalg.eig(jacobians)
    order = largest_first(values)
    columns = np.take_along_axis(columns, order[:, None], -1).astype(complex)
    values = np.take_along_axis(values, order, -1).astype(complex)
    return values, columns.swapaxes(-1, -2), np.linalg.pinv(columns)


def spectra(jacobians: Float[np.ndarray, "k n n"]) -> Complex[np.ndarray, "k n"]:
    """The eigenvalues alone, which take a fraction of the time."""
    values = np.linalg.eigvals(jacobians)
    return np.take_along_axis(values, largest_first(values), -1).astype(complex)


def largest_first(values: Complex[np.ndarray, "k n"]) -> Int[np.ndarray, "k n"]:
    return np.argsort(-np.abs(values), axis=-1, kind="stable")


def layer_of(owner: str, network: Cell | Layer, params: Params, name: str, carries: Carry) -> Layer:
    """The network as a Layer whose states the carries, called `name`, can be. Raises ValueError where they cannot."""
    layer = unroll(network) if isinstance(network, Cell) else network
    checks.forward(owner, "network", layer)
    one = jax.eval_shape(lambda: layer.carry((), params))
    k = number_of(owner, name, carries)
    many = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((k, *leaf.shape), leaf.dtype), one)
    checks.like(owner, name, carries, many, "axis 0 counts the states; scattered(...) makes them")
    if any(widened(leaf).dtype != leaf.dtype for leaf in jax.tree.leaves(carries)):
        way_out = f"jax.tree.map(lambda a: a.astype(jnp.float32), {name}) converts"
        raise ValueError(f"{owner}: {name} is {checks.short(carries)}, wanted float32 at least; {way_out}")
    return layer


def number_of(owner: str, name: str, carries: Carry) -> int:
    """How many states stand along axis 0."""
    leaves = jax.tree.leaves(carries)
    if not leaves or any(not getattr(leaf, "shape", None) for leaf in leaves):
        raise ValueError(f"{owner}: {name} is {checks.short(carries)}, wanted a carry of states along axis 0")
    return leaves[0].shape[0]


def flow(layer: Layer, params: Params, like: Carry) -> tuple[Callable[[Array, Array], Array], Callable[..., Any]]:
    """(F(state, x) of the state as one vector, vector -> carry)."""
    _, shaped = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), like))

    def F(state: Array, x: Array) -> Array:
        return ravel_pytree(layer.apply(params, shaped(state), x[None])[0])[0]

    return F, shaped


@functools.partial(jax.jit, static_argnums=(0, 1))
def jacobians(layer: Layer, of: int, params: Params, x: Array, carries: Carry) -> Float[Array, "k n _"]:
    """Of F(state, x) for its argument `of`: 0 or 1."""
    F, _ = flow(layer, params, carries)
    return jax.lax.map(lambda state: jax.jacfwd(F, of)(state, x), flattened(carries))
