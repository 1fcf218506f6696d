"""Step Jacobians J_t = dcarry_t / dcarry_{t-1} along a trajectory, and their products.

    dcarry_T / dcarry_t = J_T ... J_{t+1}

The gradient is carried back by this product: it vanishes where its norm goes to 0 and explodes where it grows without
bound (Bengio et al. 1994, Pascanu et al. 2013, eq. 5).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxrnn.analysis.stepping import as_map, widened
from jaxrnn.types import Carry, Layer, Params


def step_jacobians(
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    *,
    mask: Bool[Array, "T"] | None = None,
    reset: Bool[Array, "T"] | None = None,
) -> Float[Array, "T m m"]:
    """J_t[i, j] = dcarry_t[i] / dcarry_{t-1}[j] for every t of one sequence; m counts all numbers in the carry.

    A carry narrower than float32 is followed in float32, unrounded.

    Raises ValueError on a layer that reads from the end, and on a batch: jax.vmap serves that.
    """
    step, start, moments = as_map("step_jacobians", layer, params, carry, xs, mask, reset)

    def body(state: Array, moment: tuple[Array, ...]) -> tuple[Array, Array]:
        return step(state, moment), jax.jacfwd(step)(state, moment)

    return jax.lax.scan(body, start, moments)[1]


def product_norms(jacobians: Float[Array, "T m m"]) -> Float[Array, "T"]:
    """log ||J_{T-1} ... J_t||, the largest singular value, for every t: how the last state depends on the one before t.

    Logarithms, since the norms themselves soon leave the range of any float; -inf where the product is 0.
    """
    jacobians = widened(jacobians)

    def body(carry: tuple[Array, Array], jacobian: Array) -> tuple[tuple[Array, Array], Array]:
        product, log = carry
        product = product @ jacobian
        norm = jnp.linalg.norm(product, 2)
        log = log + jnp.log(norm)
        return (product / jnp.where(norm > 0, norm, 1), log), log

    m = jacobians.shape[-1]
    start = jnp.eye(m, dtype=jacobians.dtype), jnp.zeros((), jacobians.dtype)
    return jax.lax.scan(body, start, jacobians, reverse=True)[1]


def recurrent_radii(params: PyTree[Array]) -> dict[str, list[float]]:
    """The largest |eigenvalue| of each square block of every recurrent matrix w_h, by its place: "1.w_h".

    Blocks stand in the cell's order of gates. A vector w_h (IndRNN) is a diagonal. Where w_h has no square blocks, as
    in projected cells, it is left out. Computed in NumPy, on the host.
    """
    found = {}
    for path, leaf in jax.tree.leaves_with_path(params):
        if getattr(path[-1] if path else None, "name", None) != "w_h":
            continue
        place = jax.tree_util.keystr(path, simple=True, separator=".")
        w = np.asarray(leaf, np.float64)
        if w.ndim == 1:
            found[place] = [float(np.abs(w).max())]
        elif w.ndim == 2 and w.shape[1] % w.shape[0] == 0:
            found[place] = [spectral_radius(block) for block in np.split(w, w.shape[1] // w.shape[0], axis=1)]
    return found


def spectral_radius(matrix: np.ndarray) -> float:
    """The largest |eigenvalue|."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())
