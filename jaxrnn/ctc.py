"""Connectionist temporal classification: labels from a longer sequence without an alignment (Graves et al. 2006).

A path gives each of T steps a label or a blank; read without repetitions, and then without blanks, it spells labels.

    p(labels) = sum over the paths that spell them of prod_t softmax(logits_t)[path_t]

Logits are [T, *batch, n], labels [N, *batch] with as many per sequence as `label_lengths` says; what stands after
them is not read. The decoders give labels [T, *batch, ...] and their lengths, with blanks after the end.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn import checks
from jaxrnn.exporting import exportable
from jaxrnn.masks import first_steps, zeroed
from jaxrnn.policy import promote
from jaxrnn.sharding import axes_of, vary

IMPOSSIBLE = -1e30  # the logarithm of nothing: finite, so that gradients are, and below any sum of logarithms
UNSPELLED = 1e5  # the loss of what no path spells


class Labels(NamedTuple):
    labels: Int[Array, "T *batch"]
    lengths: Int[Array, "*batch"]


class Prefixes(NamedTuple):
    """The likeliest labels of each sequence, best first, with the logarithm of p(labels)."""

    labels: Int[Array, "T *batch width"]
    lengths: Int[Array, "*batch width"]
    scores: Float[Array, "*batch width"]


def ctc_loss(
    logits: Float[Array, "T *batch n"],
    labels: Int[Array, "N *batch"],
    lengths: Int[Array, "*batch"] | None = None,
    label_lengths: Int[Array, "*batch"] | None = None,
    blank: int = 0,
) -> Float[Array, "*batch"]:
    """-log p(labels) for each sequence; lengths None are whole.

    Labels that no path of `lengths` steps can spell cost 1e5, which stands for infinity, and have no gradient; those
    that a path can spell may cost more. Where one is the blank, or none of the n there are, the loss is NaN. NaN in
    padding reaches neither values nor gradients. Raises ValueError on shapes that do not fit.
    """
    mask = _door("ctc_loss", logits, lengths, blank)
    T, *batch, _ = logits.shape
    checks.array("ctc_loss", "labels", labels, 1 + len(batch), "[N, *batch]")
    checks.whole("ctc_loss", "labels", labels, "[N, *batch]")
    if labels.shape[1:] != tuple(batch):
        wanted = f"[{', '.join(['N', *map(str, batch)])}], as many sequences as in logits"
        raise ValueError(f"ctc_loss: labels is {checks.describe(labels)}, wanted {wanted}")
    if T == 0:
        raise ValueError(f"ctc_loss: logits is {checks.describe(logits)}, wanted at least one step")
    real = _mask("ctc_loss", "label_lengths", label_lengths, labels.shape, "N")
    return _loss(logits, mask, labels, real, int(blank))


@functools.partial(jax.jit, static_argnames="blank")
def _loss(logits: Array, mask: Array, labels: Array, real: Array, blank: int) -> Float[Array, "*batch"]:
    """Forward through the labels with a blank before each and after the last (Graves et al. 2006, eq. 6 to 8).

        alpha_t(s) = (alpha_{t-1}(s) + alpha_{t-1}(s - 1) + alpha_{t-1}(s - 2)) softmax(logits_t)[z_s]

    all as logarithms; the last summand is there where z_s is a label and not that two places before.
    """
    N, *batch = labels.shape
    dtype = promote(logits.dtype, jnp.float32)
    logp = jnp.maximum(jax.nn.log_softmax(zeroed(logits, mask).astype(dtype), axis=-1), IMPOSSIBLE)
    known = zeroed(labels, real & (labels != blank) & (labels >= 0) & (labels < logits.shape[-1]))
    places = jnp.full((2 * N + 1, *batch), blank, labels.dtype).at[1::2].set(known)
    emitted = jnp.take_along_axis(logp, jnp.moveaxis(places, 0, -1)[None], axis=-1)
    before = jnp.concatenate([jnp.full((2, *batch), blank, labels.dtype), places])[: 2 * N + 1]
    skips = jnp.moveaxis((places != blank) & (places != before), 0, -1)

    def shifted(alpha: Array, by: int) -> Array:
        room = [(0, 0)] * len(batch) + [(by, 0)]
        return jnp.pad(alpha, room, constant_values=IMPOSSIBLE)[..., : 2 * N + 1]

    def step(alpha: Array, moment: tuple[Array, Array]) -> tuple[Array, None]:
        here, real = moment
        after = _either(alpha, shifted(alpha, 1))
        after = _either(after, jnp.where(skips, shifted(alpha, 2), jnp.asarray(IMPOSSIBLE, dtype)))
        return jnp.where(real[..., None], after + here, alpha), None

    # Before the first step as though in the first blank, so that a sequence without a step spells nothing.
    first = jnp.where(jnp.arange(2 * N + 1) == 0, 0.0, IMPOSSIBLE).astype(dtype)
    first = vary(jnp.broadcast_to(first, (*batch, 2 * N + 1)), axes_of(emitted, skips, mask))
    alpha, _ = jax.lax.scan(step, first, (emitted, mask))
    end = 2 * real.sum(0)[..., None]
    last, label = (jnp.take_along_axis(alpha, jnp.maximum(end - k, 0), axis=-1)[..., 0] for k in (0, 1))
    label = jnp.where(end[..., 0] > 0, label, jnp.asarray(IMPOSSIBLE, dtype))
    total = _either(last, label)
    loss = jnp.where(total <= IMPOSSIBLE / 2, jnp.asarray(UNSPELLED, dtype), -total)
    unknown = real & ((labels == blank) | (labels < 0) | (labels >= logits.shape[-1]))
    return jnp.where(unknown.any(0), jnp.nan, loss)


def _either(a: Array, b: Array) -> Array:
    """log(e^a + e^b) of finite numbers, with derivatives that sum to 1 however large they are.

    Those of jnp.logaddexp, exp(a - log(e^a + e^b)), err with the rounding of the logarithms, exponentially along a
    loop; and where a = b its second ones are wrong under a loop, as JAX then derives max and abs.
    """
    high = jax.lax.stop_gradient(jnp.maximum(a, b))
    return high + jnp.log(jnp.exp(a - high) + jnp.exp(b - high))


def ctc_greedy(
    logits: Float[Array, "T *batch n"], lengths: Int[Array, "*batch"] | None = None, blank: int = 0
) -> Labels:
    """What the likeliest path spells, which need not be the likeliest labels.

    Raises ValueError on arguments that do not fit.
    """
    mask = _door("ctc_greedy", logits, lengths, blank)
    path = jnp.where(mask, jnp.argmax(logits, axis=-1), blank)
    before = jnp.concatenate([jnp.full_like(path[:1], blank), path[:-1]])
    kept = (path != blank) & (path != before)
    order = jnp.argsort(~kept, axis=0, stable=True)  # the kept ones first, in their order
    return Labels(jnp.take_along_axis(jnp.where(kept, path, blank), order, axis=0), kept.sum(0))


def ctc_prefix_beam(
    logits: Float[Array, "T *batch n"], width: int = 16, lengths: Int[Array, "*batch"] | None = None, blank: int = 0
) -> Prefixes:
    """The likeliest labels by prefix beam search (Hannun et al. 2014, without their language model).

    After each step the `width` likeliest prefixes remain, each with the sum of its paths; when none was ever given
    up, the order and the scores are exact. A row without a prefix (there were fewer) has score -inf and length 0.
    Raises ValueError on arguments that do not fit.
    """
    checks.size("ctc_prefix_beam", width=width)
    mask = _door("ctc_prefix_beam", logits, lengths, blank)
    return _search(zeroed(logits, mask), mask, int(width), int(blank))


class Beam(NamedTuple):
    """The prefixes of one sequence, with log p of their paths that end in a blank, and of those that do not."""

    labels: Int[Array, "width T"]
    lengths: Int[Array, "width"]
    blank: Float[Array, "width"]
    label: Float[Array, "width"]

    @property
    def scores(self) -> Float[Array, "width"]:
        return jnp.logaddexp(self.blank, self.label)


@functools.partial(jax.jit, static_argnames=("width", "blank"))
def _search(logits: Array, mask: Array, width: int, blank: int) -> Prefixes:
    T, *batch, n = logits.shape
    B = math.prod(batch)
    logp = jax.nn.log_softmax(logits.astype(promote(logits.dtype, jnp.float32)), axis=-1)
    axes = axes_of(logp, mask)

    def one(logp: Float[Array, "T n"], mask: Bool[Array, "T"]) -> tuple[Array, Array, Array]:
        nothing = jnp.full(width, -jnp.inf, logp.dtype)
        room = max(T, 1)
        empty = Beam(
            jnp.full((width, room), blank, jnp.int32), jnp.zeros(width, jnp.int32), nothing.at[0].set(0), nothing
        )

        def step(beam: Beam, moment: tuple[Array, Array]) -> tuple[Beam, None]:
            logp, real = moment
            return jax.tree.map(lambda a, b: jnp.where(real, a, b), _advance(beam, logp, blank), beam), None

        beam, _ = jax.lax.scan(step, vary(empty, axes), (logp, mask))
        alive = beam.scores > -jnp.inf
        labels = jnp.where(alive[:, None], beam.labels, blank)
        return labels[:, :T].T, jnp.where(alive, beam.lengths, 0), beam.scores

    found = jax.vmap(one, in_axes=1, out_axes=(1, 0, 0))(logp.reshape(T, B, n), mask.reshape(T, B))
    return Prefixes(*(a.reshape(*lead, *batch, width) for a, lead in zip(found, ((T,), (), ()), strict=True)))


def _advance(beam: Beam, logp: Float[Array, "n"], blank: int) -> Beam:
    """The beam after one more step: every prefix as it is or one label longer, equal ones merged, the best kept."""
    width, room = beam.labels.shape
    ids, total = _count(len(logp)), beam.scores
    last = beam.labels[_count(width), beam.lengths - 1]
    last = jnp.where(beam.lengths == 0, blank, last)
    # A label that repeats the last is a new one only after a blank.
    before = jnp.where(ids == last[:, None], beam.blank[:, None], total[:, None])
    longer = jnp.where(ids == blank, -jnp.inf, before + logp)
    repeated = jnp.where(last == blank, -jnp.inf, beam.label + logp[last])
    same = beam._replace(blank=total + logp[blank], label=repeated)

    # Prefix i made longer by j's last label is j itself: its paths go to j.
    parent = _is_parent(beam, blank)
    gained = jnp.where(parent, longer[:, last], -jnp.inf).max(0)
    same = same._replace(label=jnp.logaddexp(same.label, gained))
    taken = (parent[:, :, None] & (last[:, None] == ids)[None]).any(1)
    longer = jnp.where(taken, -jnp.inf, longer)

    _, best = jax.lax.top_k(jnp.concatenate([same.scores, longer.ravel()]), width)
    grown = best >= width
    row = jnp.where(grown, (best - width) // len(logp), best)
    label = (best - width) % len(logp)
    kept = jax.tree.map(lambda a: a[row], same)
    place = grown[:, None] & (_count(room) == kept.lengths[:, None])
    return Beam(
        jnp.where(place, label[:, None], kept.labels),
        kept.lengths + grown.astype(kept.lengths.dtype),
        jnp.where(grown, -jnp.inf, kept.blank),
        jnp.where(grown, longer[row, label], kept.label),
    )


def _is_parent(beam: Beam, blank: int) -> Bool[Array, "width width"]:
    """[i, j]: prefix j, less its last label, is prefix i."""
    at_end = _count(beam.labels.shape[1]) == beam.lengths[:, None] - 1
    shortened = jnp.where(at_end, blank, beam.labels)
    equal = (beam.labels[:, None] == shortened[None]).all(-1)
    return equal & (beam.lengths > 0)[None]


def _count(n: int) -> Int[Array, "n"]:
    return jnp.arange(n, dtype=jnp.int32)


def _door(owner: str, logits: Array, lengths: Array | None, blank: int) -> Bool[Array, "T *batch"]:
    checks.floats(owner, "logits", logits, 2, "[T, *batch, n]")
    checks.size(owner, at_least=0, blank=blank)
    if blank >= logits.shape[-1]:
        raise ValueError(f"{owner}: blank is {blank}, wanted one of the {logits.shape[-1]} features of logits")
    return _mask(owner, "lengths", lengths, logits.shape[:-1])


def _mask(
    owner: str, name: str, lengths: Array | None, shape: tuple[int, ...], axis: str = "T"
) -> Bool[Array, "T *batch"]:
    if lengths is None:
        return jnp.ones(shape, bool)
    checks.array(owner, name, lengths, 0, "[*batch]")
    if lengths.shape != shape[1:]:
        raise ValueError(f"{owner}: {name} is {checks.describe(lengths)}, wanted {list(shape[1:])}, one a sequence")
    return first_steps(owner, name, lengths, shape[0], axis)


exportable(__name__)
