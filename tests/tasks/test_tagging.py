"""Words and tags: what is read, how phrases are counted, and what a tagger sees at a word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import length_mask
from jaxrnn.runner.config import Tagging
from jaxrnn.runner.tagged import Counts, Tagged, counted, phrases, read_tagged
from jaxrnn.runner.tasks import tagging

ATIS = "BOS to new york EOS\tO O B-to I-to trip\nBOS now EOS\tO B-time trip\n"
COLUMNS = "to PP O\nnew JJ B-to\nyork NN I-to\n\n\nnow RB B-time\n"
SENTENCES = [Tagged(["to", "new", "york"], ["O", "B-to", "I-to"]), Tagged(["now"], ["B-time"])]


@pytest.mark.parametrize("text", [ATIS, COLUMNS, COLUMNS + "\n\n"], ids=["ATIS", "columns", "lines after the end"])
def test_both_kinds_of_file_are_read(text, tmp_path):
    (tmp_path / "tagged").write_text(text)
    assert read_tagged(tmp_path / "tagged") == SENTENCES


WRONG = {
    "BOS to rome EOS\tO O\n": ", line 1 has 4 words and 2 tags, wanted as many of both",
    "BOS go EOS\tO O trip\nto rome\tO O\n": ", line 2 has 2 words and 2 tags, wanted as many of both",
    "to O\nrome\n": ", line 2 is 'rome', wanted a word and its tag",
    "to O\nrome place\n": ", line 2 has the tag 'place', wanted O, B-KIND or I-KIND",
    "BOS go EOS\tO B- trip\n": ", line 1 has the tag 'B-', wanted O, B-KIND or I-KIND",
    "\n\n": " has no sentence, wanted sentences with tags: a word and its tag a line",
}


@pytest.mark.parametrize("text", WRONG, ids=WRONG.values())
def test_another_file_is_refused_by_its_line(text, tmp_path):
    (tmp_path / "tagged").write_text(text)
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        read_tagged(tmp_path / "tagged")
    assert str(raised.value).startswith(f"data: {tmp_path / 'tagged'}{WRONG[text]}")
    assert "\n" not in str(raised.value)


# Tjong Kim Sang & Buchholz 2000's judge: an I that goes on with nothing begins a phrase.
PHRASES = {
    "O O": [],
    "B-a I-a O": [("a", 0, 2)],
    "B-a B-a": [("a", 0, 1), ("a", 1, 2)],
    "B-a I-b": [("a", 0, 1), ("b", 1, 2)],
    "I-a I-a O I-a": [("a", 0, 2), ("a", 3, 4)],
    "B-a-b I-a-b": [("a-b", 0, 2)],
}


@pytest.mark.parametrize("tags", PHRASES)
def test_phrases_are_found(tags):
    assert phrases(tags.split()) == PHRASES[tags]


def test_a_phrase_counts_where_its_kind_and_both_ends_are_right():
    truth = [["B-a", "I-a", "O", "B-b"], ["B-a", "O"]]
    said = [["B-a", "O", "O", "B-b"], ["B-a", "B-a"]]
    assert counted(truth, said) == Counts(true=3, said=4, right=2)
    assert counted(truth, said).f1 == pytest.approx(100 * 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert counted(truth, said, "a") == Counts(true=2, said=3, right=1)
    assert counted(truth, [["O"] * 4, ["O"] * 2]).f1 == 0


def test_a_step_sees_the_words_around_it_and_none_beyond_the_ends():
    xs = np.arange(1.0, 11).reshape(5, 2, 1)
    mask = length_mask(jnp.array([5, 3]), 5)
    _, ys = tagging.context(3).apply((), (), xs, mask=mask)
    for n, length in enumerate((5, 3)):
        padded = np.concatenate([[0], xs[:length, n, 0], np.zeros(6 - length)])
        for t in range(length):
            assert ys[t, n].tolist() == padded[t : t + 3].tolist()


@pytest.fixture
def problem(tmp_path):
    return tagging.make(Tagging(bidirectional=True, units=3, embedding=4, **tagging.stand_in(tmp_path)))


def test_a_sentence_is_tagged_as_it_is_alone(problem, tmp_path):
    params = jax.tree.map(lambda a: 3 * a, problem.layer.init(jax.random.key(0)))
    lines = ["go from new york to ulm", "go", "go to " + "rome " * 30]
    (tmp_path / "own.txt").write_text("\n".join(lines))
    columns = problem.predict(params, tmp_path / "own.txt")
    assert columns["word"] == " ".join(lines).split()
    for n, line in enumerate(lines, 1):
        said = [tag for tag, k in zip(columns["tag"], columns["sentence"], strict=True) if k == n]
        xs = tagging.encoded(line.split(), problem.assets["words"])
        _, logits = problem.layer.apply(params, problem.layer.carry((), params), xs)
        assert said == [problem.assets["tags"][k] for k in logits.argmax(-1)]


def test_the_loss_is_the_mean_over_the_words_whatever_the_padding(tmp_path):
    config = Tagging(cell="elman", units=3, embedding=4, dropout=0.0, **tagging.stand_in(tmp_path))
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem = tagging.make(config)
        params, batch = problem.layer.init(jax.random.key(0)), problem.batch(0, 0)
        loss, _ = problem.loss(params, (), batch, jax.random.key(0))
        terms: list[float] = []
        for k, length in enumerate(batch.lengths.tolist()):
            _, logits = problem.layer.apply(params, problem.layer.carry((), params), batch.xs[:length, k])
            terms += (-jax.nn.log_softmax(logits)[np.arange(length), batch.ys[:length, k]]).tolist()
    assert float(loss) == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_digits_are_one_and_a_word_that_is_there_once_is_unknown(tmp_path):
    data = {"train": [Tagged(["at", "838", "at", "940", "once"], ["O", "B-t", "O", "B-t", "O"])]}
    known = tagging.learn(data, Tagging(data=tmp_path))
    assert known == {"words": ["<unk>", "000", "at"], "tags": ["B-t", "O"]}
    assert tagging.encoded(["at", "111", "once", "never"], known["words"]).tolist() == [2, 1, 0, 0]


def test_an_even_window_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^window: got 4, wanted an odd number"):
        tagging.make(Tagging(window=4, **tagging.stand_in(tmp_path)))


def test_a_file_to_test_on_leaves_more_to_learn_from(tmp_path):
    made = tagging.stand_in(tmp_path)
    one, two = tagging.load(Tagging(**made)), tagging.load(Tagging(test_data=made["data"], **made))
    assert [len(part) for part in one.values()] == [48, 6, 6]
    assert [len(part) for part in two.values()] == [54, 6, 60]
