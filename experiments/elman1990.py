"""Elman 1990, "Finding structure in time": four streams whose structure a simple recurrent network finds by prediction.

    python -m experiments.elman1990        writes experiments/results/elman1990.json and .png

Each network reads a stream a symbol at a time and says what comes next; where it errs is where the stream is free.

    xor         1-2-1       two bits at random, then their exclusive or, and so on            his figure 3
    syllables   6-20-6      b, d and g at random, each with its vowels: ba, dii, guuu         figures 4 and 5
    letters     5-20-5      sentences of 4 to 9 words out of 15, without spaces               figure 6
    words       31-150-31   sentences of 2 or 3 words by the templates of his table 4         figure 7

Sizes and codes are his: a bit, six features, five bits (each letter's at random, where his table 2 counts through the
alphabet) and one of 31 units (of which 29 are words). Units are logistic and the error is squared, as there. Ours are
Adam and backpropagation through windows of the stream, drawn at random, where he went one step back; 14 of his 15 words
are known, and sentences of them are drawn without a grammar. Errors are those on new streams of the same kind, for the
words, as his, on the stream that was learnt. Groups of words are found by average linkage of the states that each is
read with, the mean over all its places.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cyclopts
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage

from experiments.gradient_flow import compact
from jaxrnn import Layer, dense, elman, stack, unroll
from jaxrnn.runner.record import provenance

RESULTS = Path(__file__).parent / "results"
WINDOW, BATCH = 20, 32
XOR_SEEDS = 16  # nets of two units, not all of which find it

FEATURES = {  # consonant, vowel, interrupted, high, back, voiced
    "b": (1, 0, 1, 0, 0, 1),
    "d": (1, 0, 1, 1, 0, 1),
    "g": (1, 0, 1, 0, 1, 1),
    "a": (0, 1, 0, 0, 1, 1),
    "i": (0, 1, 0, 1, 0, 1),
    "u": (0, 1, 0, 1, 1, 1),
}
SYLLABLES = ("ba", "dii", "guuu")
LEXICON = (
    "many", "years", "ago", "a", "boy", "and", "girl", "lived", "by", "the", "sea", "they", "played", "happily",
    "house",
)  # fmt: skip

HUMAN = "man", "woman", "boy", "girl"
AGGRESSOR = "dragon", "monster", "lion"
ANIMATE = *HUMAN, *AGGRESSOR, "cat", "mouse", "dog"
FRAGILE = "glass", "plate"
FOOD = "cookie", "bread", "sandwich"
INANIMATE = *FRAGILE, *FOOD, "book", "rock", "car"
REST, SEE, MOVE = ("think", "sleep", "exist"), ("see", "chase", "like"), ("move", "break")
SMELL, BREAK, EAT = ("smell", "see"), ("break", "smash"), ("eat",)
TEMPLATES = (
    (HUMAN, EAT, FOOD), (HUMAN, SMELL, INANIMATE), (HUMAN, BREAK, FRAGILE), (HUMAN, REST), (HUMAN, SEE, HUMAN),
    (HUMAN, MOVE, INANIMATE), (HUMAN, MOVE), (ANIMATE, EAT, FOOD), (ANIMATE, SEE, ANIMATE), (ANIMATE, MOVE, INANIMATE),
    (ANIMATE, MOVE), (INANIMATE, MOVE), (AGGRESSOR, BREAK, FRAGILE), (AGGRESSOR, EAT, HUMAN), (AGGRESSOR, EAT, ANIMATE),
    (AGGRESSOR, EAT, FOOD),
)  # fmt: skip
NOUNS = [*ANIMATE, *INANIMATE]
VERBS = list(dict.fromkeys((*REST, *SEE, *MOVE, *SMELL, *BREAK, *EAT)))
WORDS = NOUNS + VERBS
CODES = 31


class Size(NamedTuple):
    n_in: int
    n: int
    updates: int
    rate: float
    long: int  # triples, syllables or sentences in a stream


SIZES = {
    "xor": Size(1, 2, 4000, 0.02, 1000),
    "syllables": Size(6, 20, 1000, 0.01, 1000),
    "letters": Size(5, 20, 4000, 0.01, 200),
    "words": Size(CODES, 150, 3000, 0.003, 10_000),
}


# -- the streams


def xor(numbers: np.random.Generator, count: int) -> Float[np.ndarray, "T 1"]:
    pairs = numbers.integers(2, size=(count, 2))
    return np.append(pairs, pairs[:, :1] ^ pairs[:, 1:], axis=1).reshape(-1, 1).astype(np.float32)


def syllables(numbers: np.random.Generator, count: int) -> str:
    return "".join(numbers.choice(SYLLABLES, count))


def letters(numbers: np.random.Generator, count: int) -> list[str]:
    """Words one after the other, of `count` sentences."""
    return numbers.choice(LEXICON, int(numbers.integers(4, 10, count).sum())).tolist()


def sentences(numbers: np.random.Generator, count: int) -> list[list[str]]:
    chosen = numbers.integers(len(TEMPLATES), size=count)
    return [[str(numbers.choice(words)) for words in TEMPLATES[k]] for k in chosen]


def coded(text: Sequence[str], code: dict[str, Any]) -> Float[np.ndarray, "T n"]:
    return np.array([code[symbol] for symbol in text], np.float32)


def five_bits() -> dict[str, Any]:
    """Another number from 0 to 31 for each letter."""
    drawn = np.random.default_rng(1990).permutation(32)
    return {chr(97 + k): [int(bit) for bit in f"{drawn[k]:05b}"] for k in range(26)}


# -- learning to predict


def network(size: Size) -> Layer:
    return stack(unroll(elman(size.n_in, size.n, "sigmoid")), dense(size.n, size.n_in))


def predict(layer: Layer, params: PyTree, xs: Array) -> Float[Array, "T *batch n"]:
    _, logits = layer.apply(params, layer.carry(xs.shape[1:-1], params), xs)
    return jax.nn.sigmoid(logits)


@functools.partial(jax.jit, static_argnames="size")
def learn(seed: Array, stream: Float[Array, "T n"], size: Size) -> tuple[PyTree, Float[Array, ""]]:
    """(params, the squared error of the last tenth of the updates)."""
    layer, optimizer = network(size), optax.adam(size.rate)
    key_params, key_windows = jax.random.split(jax.random.key(seed))

    def loss(params: PyTree, key: Array) -> Array:
        starts = jax.random.randint(key, (BATCH,), 0, len(stream) - WINDOW)
        windows = stream[starts + jnp.arange(WINDOW + 1)[:, None]]
        return jnp.mean((predict(layer, params, windows[:-1]) - windows[1:]) ** 2)

    def update(state: Any, key: Array) -> tuple[Any, Array]:
        params, moments = state
        value, gradient = jax.value_and_grad(loss)(params, key)
        updates, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), value

    params = layer.init(key_params)
    (params, _), values = jax.lax.scan(
        update, (params, optimizer.init(params)), jax.random.split(key_windows, size.updates)
    )
    return params, values[-max(1, size.updates // 10) :].mean()


@functools.partial(jax.jit, static_argnames="size")
def errors(params: PyTree, stream: Float[Array, "T n"], size: Size) -> Float[Array, "T-1 n"]:
    """Of what is predicted after each symbol but the last."""
    return predict(network(size), params, stream[:-1]) - stream[1:]


def rms(errors: Float[np.ndarray, "*any n"]) -> Float[np.ndarray, "*any"]:
    return np.sqrt(np.mean(np.square(errors), -1))


# -- the four, each a dict of what is drawn and told


def of_xor(numbers: np.random.Generator) -> dict[str, Any]:
    """RMS error over 12 bits in a row, over 1,200 new ones, of all nets and of the one that learnt best."""
    size = SIZES["xor"]
    stream = jnp.asarray(xor(numbers, size.long))
    params, losses = jax.vmap(lambda seed: learn(seed, stream, size))(jnp.arange(XOR_SEEDS))
    new = jnp.asarray(xor(numbers, 401))
    found = np.asarray(jax.vmap(lambda params: errors(params, new, size))(params))[:, 2:1202, 0]  # of bit 4 and so on
    curves = rms(found.reshape(XOR_SEEDS, 100, 12).swapaxes(1, 2))
    best = int(np.argmin(losses))
    return {"rms_of_12_bits": curves[best], "of_all_seeds": curves, "third_below_others": _third(curves)}


def _third(curves: Float[np.ndarray, "seeds 12"]) -> int:
    """Of how many nets every third bit is predicted better, by a tenth at least, than the others are in the mean."""
    each = curves.reshape(len(curves), 4, 3).mean(1)
    return int(np.sum(each[:, 2] < 0.9 * each[:, :2].mean(1)))


def of_syllables(numbers: np.random.Generator) -> dict[str, Any]:
    """Of new letters: the RMS error of all six bits, and that of the bit that says consonant."""
    size = SIZES["syllables"]
    params, _ = learn(0, jnp.asarray(coded(syllables(numbers, size.long), FEATURES)), size)
    new = syllables(numbers, 1000)
    found = np.asarray(errors(params, jnp.asarray(coded(new, FEATURES)), size))
    free = np.array([letter in "bdg" for letter in new[1:]])
    means = {
        kind: {"all": float(rms(found[of]).mean()), "consonant_bit": float(np.abs(found[of, 0]).mean())}
        for kind, of in (("consonants", free), ("vowels", ~free))
    }
    shown = slice(0, 40)
    return {
        "text": new[1:][shown],
        "rms": rms(found[shown]),
        "consonant_bit": np.abs(found[shown, 0]),
        "mean": means,
    }


def of_letters(numbers: np.random.Generator) -> dict[str, Any]:
    size, code = SIZES["letters"], five_bits()
    params, _ = learn(0, jnp.asarray(coded("".join(letters(numbers, size.long)), code)), size)
    words = letters(numbers, 200)
    place = np.concatenate([np.arange(len(word)) for word in words])[1:]
    found = rms(np.asarray(errors(params, jnp.asarray(coded("".join(words), code)), size)))
    shown = slice(len(words[0]) - 1, len(words[0]) + 49)  # from the second word on
    return {
        "text": "".join(words)[1:][shown],
        "begins": (place[shown] == 0).tolist(),
        "rms": found[shown],
        "mean_by_place_in_the_word": [float(found[place == k].mean()) for k in range(6)],
    }


def of_words(numbers: np.random.Generator) -> dict[str, Any]:
    size = SIZES["words"]
    read = sentences(numbers, size.long)
    ids = np.array([WORDS.index(word) for sentence in read for word in sentence])
    stream = jnp.asarray(np.eye(CODES, dtype=np.float32)[ids])
    params, _ = learn(0, stream, size)
    recurrent = unroll(elman(size.n_in, size.n, "sigmoid"))
    _, states = recurrent.apply(params[0], recurrent.carry(()), stream)
    means = np.stack([np.asarray(states)[ids == k].mean(0) for k in range(len(WORDS))])
    tree = linkage(means, "average")
    two = fcluster(tree, 2, "maxclust")
    apart = len({*two[: len(NOUNS)]}) == len({*two[len(NOUNS) :]}) == 1
    off = rms(np.asarray(predict(network(size), params, stream[:-1])) - likelihoods(read, ids))
    return {
        "words_read": len(ids),
        "rms_from_the_likelihoods": float(off.mean()),
        "nouns_and_verbs_are_the_first_two_groups": apart,
        "tree": tree,
    }


def likelihoods(read: list[list[str]], ids: np.ndarray) -> Float[np.ndarray, "T-1 n"]:
    """How often each word came next in the stream after the same beginning of a sentence."""
    beginnings = [tuple(sentence[: k + 1]) for sentence in read for k in range(len(sentence))][:-1]
    counts: dict[tuple[str, ...], np.ndarray] = {}
    for beginning, following in zip(beginnings, ids[1:], strict=True):
        counts.setdefault(beginning, np.zeros(CODES))[following] += 1
    return np.stack([counts[beginning] / counts[beginning].sum() for beginning in beginnings])


# -- the result


def main() -> None:
    """Train the four networks, and write results/elman1990.json and .png."""
    result = {"command": "python -m experiments.elman1990", "sizes": {k: v._asdict() for k, v in SIZES.items()}}
    result |= provenance()
    numbers = np.random.default_rng(0)
    found = {"xor": of_xor(numbers), "syllables": of_syllables(numbers), "letters": of_letters(numbers)}
    found["words"] = of_words(numbers)
    result["streams"] = plain(found)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "elman1990.json").write_text(compact(result) + "\n")
    draw(result["streams"])


def plain(found: Any) -> Any:
    """For JSON: four digits."""
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, (np.ndarray, list)):
        return [plain(value) for value in found]
    return float(f"{found:.4g}") if isinstance(found, float | np.floating) else found


def draw(found: dict[str, Any]) -> None:
    figure = matplotlib.figure.Figure(figsize=(15, 10), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(3, 2))
    a, b, c = (figure.add_subplot(grid[k, 0]) for k in range(3))
    d = figure.add_subplot(grid[:, 1])

    bits = np.arange(1, 13)
    for curve in found["xor"]["of_all_seeds"]:
        a.plot(bits, curve, color="0.8", lw=0.8)
    a.plot(bits, found["xor"]["rms_of_12_bits"], "o-", color="C0", label=f"the best of {XOR_SEEDS} in training")
    a.plot([], [], color="0.8", label="the others")
    a.set(title="Exclusive or: every third bit follows from the two before", xlabel="bit", ylabel="RMS error")
    a.set(xticks=bits, ylim=(0.2, 0.6))
    a.legend(loc="lower left", ncols=2)

    text = found["syllables"]["text"]
    b.plot(found["syllables"]["rms"], "o-", label="all six bits")
    b.plot(found["syllables"]["consonant_bit"], ".--", color="C1", label="whether it is a consonant")
    b.set_xticks(range(len(text)), text)
    b.set(title="ba, dii, guuu: which consonant comes is free, when it comes is not", ylabel="RMS error")
    b.set_ylim(-0.02, 0.45)
    b.legend(loc="upper right", ncols=2)

    of = found["letters"]
    c.plot(of["rms"], "o-")
    for k in np.flatnonzero(of["begins"]):
        c.axvline(float(k), color="0.8", lw=1, zorder=0)
    c.set_xticks(range(len(of["text"])), of["text"])
    c.set(title="Letters of words without spaces: grey lines where words begin", ylabel="RMS error")

    dendrogram(
        found["words"]["tree"], labels=WORDS, orientation="left", ax=d, color_threshold=0, above_threshold_color="0.3"
    )
    for label in d.get_yticklabels():
        label.set_color("C0" if label.get_text() in NOUNS else "C3")
    d.set(title="States that words are read with, grouped: nouns blue, verbs red", xlabel="distance")
    figure.suptitle("Finding structure in time (Elman 1990)")
    figure.savefig(RESULTS / "elman1990.png", dpi=110)


if __name__ == "__main__":
    cyclopts.run(main)
