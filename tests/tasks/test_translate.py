"""Translation: the pairs read, the batches they make, what a word costs, and how sentences are written and judged."""

import collections
import itertools
import lzma
import math
import sys
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console
from tiny import randomized

from jaxrnn.attention import has_attention
from jaxrnn.runner import bleu, parallel_text
from jaxrnn.runner.config import Translate
from jaxrnn.runner.tasks import translate
from jaxrnn.runner.tasks.translate import Batch, Side


@pytest.fixture(autouse=True)
def as_a_run_has_it():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


# -- the files


def write(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def test_packed_and_plain_files_are_the_same(tmp_path):
    write(tmp_path, train_de="ein mann\nzwei hunde .\n", train_en="a man\ntwo dogs .\n")
    packed = tmp_path / "packed"
    packed.mkdir()
    for language in ("de", "en"):
        text = (tmp_path / f"train.{language}").read_bytes()
        (packed / f"train.lc.norm.tok.{language}.xz").write_bytes(lzma.compress(text))
    wanted = [["ein", "mann"], ["zwei", "hunde", "."]], [["a", "man"], ["two", "dogs", "."]]
    for folder in (tmp_path, packed):
        assert parallel_text.read_pairs(folder, "train", "de", "en") == wanted


WRONG = {
    "missing": ({"train_de": "a\n"}, "has no train.lc.norm.tok.en or "),
    "not pairs": ({"train_de": "a\nb\n", "train_en": "a\n"}, "lines are not pairs: "),
    "empty line": ({"train_de": "a\n\nb\n", "train_en": "a\nb\nc\n"}, "train.de, line 2 is empty, wanted a sentence"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_files_are_refused_in_one_line(case, tmp_path):
    files, said = WRONG[case]
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        parallel_text.read_pairs(write(tmp_path, **files), "train", "de", "en")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_folder_is_told_where_one_can_be_had(tmp_path):
    for data, said in ((None, "data: got none"), (tmp_path / "none", "none is no folder")):
        with pytest.raises(ValueError, match=r"; github\.com/multi30k") as raised:
            translate.make(Translate(data=data))
        assert said in str(raised.value)


def test_a_cell_without_a_state_to_begin_with_is_refused(tmp_path):
    with pytest.raises(ValueError, match="translate: cell 'lru' has no state h, wanted one such as gru or lstm"):
        translate.make(Translate(**translate.stand_in(tmp_path), cell="lru"))


def test_words_that_are_not_known_are_one_and_an_end_comes_after_the_last():
    side = translate.side([["b", "x", "a"], ["a"]], ["<end>", "<unk>", "a", "b"])
    assert side.ids.tolist() == [[3, 1, 2, 0], [2, 0, 0, 0]]
    assert side.lengths.tolist() == [3, 1]


# -- the batches


def pairs(n=50):
    numbers = np.random.default_rng(0)
    lengths = numbers.integers(1, 12, (2, n))
    ids = np.where(np.arange(13) < lengths[..., None], 1 + np.arange(n)[:, None], 0)  # every word tells its pair
    return tuple(Side(each, length) for each, length in zip(ids, lengths, strict=True))


def test_an_epoch_has_every_pair_at_most_once_and_its_words_whole():
    source, target = pairs()
    on_shelves = translate.shelves(source, target, 3)
    steps = sum(len(shelf) // 4 for shelf in on_shelves)
    seen = collections.Counter()
    for step in range(steps, 2 * steps):
        batch = translate.drawn(source, target, on_shelves, 4, 7, step)
        for k in range(4):
            S, T = batch.source_lengths[k], batch.target_lengths[k]
            pair = int(batch.sources[0, k]) - 1
            assert (source.lengths[pair], target.lengths[pair] + 1) == (S, T)
            assert (batch.sources[:S, k] == pair + 1).all()
            assert not batch.sources[S:, k].any()
            assert (batch.targets[: T - 1, k] == pair + 1).all()
            assert not batch.targets[T - 1 :, k].any()
            seen[pair] += 1
    assert max(seen.values()) == 1
    assert sum(seen.values()) == 4 * steps > 50 - 3 * 4


def test_pairs_of_about_one_length_stand_together_and_seeds_take_the_same_shelf():
    source, target = pairs()
    on_shelves = translate.shelves(source, target, 3)
    longest = [np.maximum(source.lengths, target.lengths + 1)[shelf] for shelf in on_shelves]
    assert all(a.max() <= b.min() for a, b in itertools.pairwise(longest))
    assert [len(shelf) for shelf in on_shelves] == [25, 12, 13]
    for step in range(20):
        one, two, again = (translate.drawn(source, target, on_shelves, 4, seed, step) for seed in (0, 1, 0))
        assert one.sources.shape == two.sources.shape
        assert one.targets.shape == two.targets.shape
        assert (one.sources == again.sources).all()


def test_a_shelf_with_less_than_a_batch_is_read_all_the_same():
    source, target = pairs(3)
    batch = translate.drawn(source, target, translate.shelves(source, target, 1), 5, 0, 4)
    assert batch.sources.shape[1] == 5
    assert set(batch.sources[0].tolist()) == {1, 2, 3}


# -- the network


OPTIONS: dict[str, Any] = {"units": 4, "embedding": 4, "batch": 4, "shelves": 1, "beam": 2, "dropout": 0.0}


def with_words(params):
    """Random params by which the decoder heeds its state, and none of its words stands out by its bias."""
    params = jax.tree.map(lambda a: 4 * a, randomized(jax.random.key(0), params))
    *others, out = params.decoder
    return params._replace(decoder=(*others, out._replace(b=0 * out.b)))


@pytest.fixture(scope="module", params=["attention", pytest.param("no-attention", marks=pytest.mark.heavy)])
def model(request, tmp_path_factory):
    """A problem on the stand-in, its parts, and params that are large enough for words to differ."""
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        data = translate.stand_in(tmp_path_factory.mktemp("pairs"))
        config = Translate(**data, **OPTIONS, attention=request.param == "attention")
        problem = translate.make(config)
        parts = translate.network(config, *(len(problem.assets[side]) for side in ("source", "target")))
        params = with_words(problem.layer.init(jax.random.key(0)))
        return problem, parts, params


def test_the_loss_is_the_mean_over_the_words_whatever_the_padding(model):
    problem, parts, params = model
    batch = problem.batch(0, 0)
    cost = jax.jit(lambda batch: translate.nats(parts, params, batch))
    together = np.asarray(cost(batch))
    for k in (0, 1):
        S, T, one = batch.source_lengths[k], batch.target_lengths[k], slice(k, k + 1)
        tight = Batch(batch.sources[:S, one], np.array([S]), batch.targets[:T, one], np.array([T]), np.ones(1))
        np.testing.assert_allclose(together[k], cost(tight)[0], rtol=1e-5)
    loss, _ = jax.jit(problem.loss)(params, (), batch, jax.random.key(0))
    assert float(loss) == pytest.approx(together.sum() / batch.target_lengths.sum(), rel=1e-5)


def test_a_sentence_is_translated_as_it_is_alone(model, monkeypatch):
    """Pieces hold sentences of several lengths, padded, and the last of them some twice."""
    problem, _, params = model
    words = problem.assets
    lines = [["d1"], ["d2", "d3", "d4", "d5", "d6"], ["d7", "d0"], ["d3", "d3", "unheard"], ["d5"]]
    put = translate.make_translate(problem.layer, words["target"])
    alone = [put(params, translate.side([line], words["source"]))[0] for line in lines]
    assert len({tuple(each) for each in alone}) > 1
    monkeypatch.setattr(translate, "PIECE", 2)
    assert put(params, translate.side(lines, words["source"])) == alone


def test_predict_translates_each_line_of_a_file(model, tmp_path):
    problem, _, params = model
    (tmp_path / "mine.txt").write_text("d1 d2\nd3\n", encoding="utf-8")
    put = translate.make_translate(problem.layer, problem.assets["target"])
    both = put(params, translate.side([["d1", "d2"], ["d3"]], problem.assets["source"]))
    columns = problem.predict(params, tmp_path / "mine.txt")
    assert list(columns["sentence"]) == [1, 2]
    assert columns["translation"] == [" ".join(words) for words in both]


def test_a_run_leaves_examples_and_where_it_looked(model, tmp_path):
    problem, _, params = model
    problem.finish(params, tmp_path, Console(quiet=True))
    examples = [block.split("\n") for block in (tmp_path / "examples.txt").read_text().rstrip("\n").split("\n\n")]
    assert len(examples) == 5  # all there are
    found = []
    for source, reference, ours in examples:
        assert source.split()[1:] == [word.replace("e", "d") for word in reversed(reference.split()[1:])]
        assert ours.split()[0] == "ours"
        found.append(ours.split()[1:])
    references = [reference.split()[1:] for _, reference, _ in examples]
    assert problem.evaluate(params, "test") == {"bleu": bleu.bleu(found, references)}
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == ({"attention.png"} if has_attention(params) else set())


def test_looks_are_shares_of_the_source_for_each_word_written():
    layers = translate.network(Translate(**OPTIONS), 9, 8)
    params = translate.whole(layers, 2, 1.0).init(jax.random.key(0))
    source, target = Side(np.array([[3, 4, 5, 0]]), np.array([3])), Side(np.array([[2, 6, 0]]), np.array([2]))
    found = translate.looks(layers, params, source, target)
    assert found.shape == (3, 3)  # the words and END, over the source
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_a_sentence_ends_before_the_first_end():
    assert translate.written(np.array([4, 5, 0, 6, 0])) == 2
    assert translate.written(np.array([4, 5])) == 2
    assert translate.written(np.array([0, 5])) == 0


# -- BLEU


def test_bleu_is_that_of_its_definition():
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    assert bleu.bleu([words], [words]) == pytest.approx(100)
    assert bleu.bleu([words[:5]], [words]) == pytest.approx(100 * math.exp(1 - 10 / 5))  # brevity alone
    # of 1 to 4 words in a row 5 of 6, 4 of 5, 3 of 4 and 2 of 3 are there
    found = bleu.bleu([[*words[:5], "x"]], [words[:6]])
    assert found == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    assert "tok:none" in bleu.signature()


def test_without_sacrebleu_the_door_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(ValueError, match=r'BLEU needs sacrebleu: pip install "jaxrnn\[experiments\]"'):
        translate.make(Translate(**translate.stand_in(tmp_path)))


def test_the_source_itself_is_the_anchor(model):
    assert model[0].anchors("test") == {"the source as it stands": 0.0}  # no word is in both languages
