"""Spoken digits: the sound read, its features, the strings made of recordings, and the judgement of what was heard."""

import dataclasses
import functools
import io
import itertools
import tarfile

import jax
import numpy as np
import pytest
from rich.console import Console

from jaxrnn.runner import digits, mel, wav
from jaxrnn.runner.config import Speech
from jaxrnn.runner.tasks import speech


@pytest.fixture(autouse=True)
def as_a_run_has_it():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def wav_of(sound, rate=8000):
    file = io.BytesIO()
    wav.write_wav(file, np.asarray(sound), rate)
    return file.getvalue()


# -- sound


def test_a_wav_file_is_read_as_it_was_written(tmp_path):
    sound = np.random.default_rng(0).integers(-(2**15), 2**15, 50) / 2**15
    (tmp_path / "a.wav").write_bytes(wav_of(sound))
    np.testing.assert_array_equal(wav.read_wav(tmp_path / "a.wav", 8000), sound.astype(np.float32))


def eight_bits():
    raw = bytearray(wav_of([0.5] * 4))
    raw[32:36] = (1).to_bytes(2, "little") + (8).to_bytes(2, "little")  # bytes a frame, bits a sample
    return bytes(raw)


WRONG = {
    "rate": (wav_of([0.0], 16000), "is 16000 Hz with 1 channels of 16 bits, wanted a wav file of 16-bit samples"),
    "bits": (eight_bits(), "is 8000 Hz with 1 channels of 8 bits, wanted a wav file of 16-bit samples on one channel"),
    "empty": (wav_of([]), "has no sound in it"),
    "other": (b"OggS" + bytes(40), "is no wav file: file does not start with RIFF id; wanted"),
    "cut": (wav_of([0.0])[:20], "is no wav file: it ends too early; wanted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_sound_is_refused_in_one_line(case, tmp_path):
    raw, said = WRONG[case]
    path = tmp_path / "7_x_1.wav"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        wav.read_wav(path, 8000)
    assert str(raised.value).startswith(f"data: {path} {said}")
    assert "\n" not in str(raised.value)


# -- features


def test_the_features_are_those_of_a_plain_loop():
    rate, bands, width, hop = 800, 3, 16, 6
    sound = np.random.default_rng(1).normal(size=40) / 4
    edges = [700 * (10 ** (k * 2595 * np.log10(1 + 400 / 700) / 4 / 2595) - 1) for k in range(5)]
    found = mel.log_mel(sound, rate, bands, width, hop)
    assert len(found) == mel.frames_in(40, width, hop) == 5
    for t, row in enumerate(found):
        frame = [sound[t * hop + n] * (0.5 - 0.5 * np.cos(2 * np.pi * n / width)) for n in range(width)]
        floor = sum((0.5 - 0.5 * np.cos(2 * np.pi * n / width)) ** 2 for n in range(width)) * 2.0**-30 / 12
        sums = np.zeros(bands)
        for k in range(width // 2 + 1):
            f = k * rate / width
            power = abs(sum(x * np.exp(-2j * np.pi * k * n / width) for n, x in enumerate(frame))) ** 2 + floor
            for b, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
                if low < f < high:
                    sums[b] += power * ((f - low) / (peak - low) if f <= peak else (high - f) / (high - peak))
        np.testing.assert_allclose(row, np.log(sums), rtol=1e-5)


def test_a_thousand_hertz_are_a_thousand_mel():
    assert mel.mel(1000) == pytest.approx(1000, abs=0.02)  # what the scale is made for


def test_what_is_shorter_than_a_frame_is_one_frame_and_silence_is_finite():
    found = mel.log_mel(np.zeros(5), 8000, 8, 256, 160)
    assert found.shape == (1, 8)
    assert np.isfinite(found).all()


def test_more_bands_than_the_frame_tells_apart_are_refused():
    with pytest.raises(ValueError, match="bands: got 90, too many for 64 samples at 8000 Hz"):
        mel.filters(8000, 90, 64)


# -- recordings


def recordings(speakers=("ann", "bob"), numbers=(0, 4, 5, 9, 10, 31)):
    """Every sample of a recording is its number, so that it is known again."""
    names = itertools.product(range(10), speakers, numbers)
    return {f"{d}_{s}_{n}.wav": wav_of([n / 2**15] * (100 + 10 * d)) for d, s, n in names}


def as_tar(path, files):
    with tarfile.open(path, "w:xz") as tar:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"somewhere/recordings/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path


def as_folder(path, files):
    (path / "recordings").mkdir(parents=True)
    for name, raw in files.items():
        (path / "recordings" / name).write_bytes(raw)
    return path


@functools.cache
def takes():
    return {(s, d): [np.full(100 + 10 * d, n, np.float32) for n in (10, 31)] for s in ("ann", "bob") for d in range(10)}


def test_a_tar_and_a_folder_are_the_same_and_parted_by_number(tmp_path):
    files = recordings()
    one, parts = digits.read_digits(as_tar(tmp_path / "all.tar.xz", files))
    two, others = digits.read_digits(as_folder(tmp_path / "all", dict(reversed(files.items()))))
    assert parts == others
    numbers = {"test": {0, 4}, "valid": {5, 9}, "train": {10, 31}}
    for split, wanted in numbers.items():
        assert one[split].keys() == two[split].keys() == takes().keys()
        for sounds in one[split].values():
            assert {round(float(sound[0] * 2**15)) for sound in sounds} == wanted
    assert len(one["train"]["ann", 7][0]) == 170


def test_other_files_beside_the_recordings_are_passed_over(tmp_path):
    files = recordings() | {"noise.wav": b"", "notes.txt": b"7_ann_1.wav"}
    assert len(digits.read_digits(as_folder(tmp_path / "all", files))[1]) == 2 * 120


def refused(path):
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        digits.read_digits(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_lacks_recordings_is_refused(tmp_path):
    files = recordings()
    assert "cannot be read: No such file" in refused(tmp_path / "none.tar")
    (tmp_path / "empty").mkdir()
    assert "has no file named such as 7_george_12.wav; github.com" in refused(tmp_path / "empty")
    lacks = {name: raw for name, raw in files.items() if name not in ("3_bob_5.wav", "3_bob_9.wav")}
    assert "has no 3_bob_ with a number of 5 to 9" in refused(as_folder(tmp_path / "lacks", lacks))
    loud = files | {"3_bob_5.wav": wav_of([0.0], 44100)}
    assert "3_bob_5.wav is 44100 Hz" in refused(as_folder(tmp_path / "loud", loud))


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_tar_that_is_none_or_ends_too_early_is_refused(keep, tmp_path):
    path = as_tar(tmp_path / "all.tar.xz", recordings())
    path.write_bytes(path.read_bytes()[:keep])
    refused(path)


# -- strings


def test_a_string_is_three_to_seven_digits_of_one_speaker_with_pauses_before_each():
    counts, speakers = set(), set()
    for seed in range(60):
        said = speech.string(takes(), np.random.default_rng(seed), 10**6)
        counts.add(len(said.digits))
        spoken = said.sound[said.sound > 0]
        assert len(spoken) == sum(100 + 10 * d for d in said.digits)
        assert len(said.sound) < len(spoken) + len(said.digits) * 0.15 * 8000
        speakers |= set(spoken.tolist())
    assert counts == {3, 4, 5, 6, 7}
    assert speakers == {10, 31}


def test_no_string_is_longer_than_asked():
    lengths = [len(speech.string(takes(), np.random.default_rng(seed), 1500).sound) for seed in range(30)]
    assert max(lengths) <= 1500


def test_batches_are_functions_of_seed_and_step_and_judged_strings_of_neither():
    def first(seed, step):
        return speech.drawn(takes(), Speech(batch=3), seed, step)[0].sound.tolist()

    assert first(1, 2) == first(1, 2)
    assert first(1, 2) != first(1, 3)
    assert first(1, 2) != first(2, 2)
    one, two = (speech.judged(takes(), Speech(seed=seed, strings=4), "test") for seed in (0, 1))
    assert [s.digits for s in one] == [s.digits for s in two]
    assert [s.digits for s in one] != [s.digits for s in speech.judged(takes(), Speech(strings=4), "valid")]


# -- judgement


def plain_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        plain_distance(a[1:], b) + 1, plain_distance(a, b[1:]) + 1, plain_distance(a[1:], b[1:]) + (a[0] != b[0])
    )


def test_the_distance_is_that_of_its_definition():
    assert speech.distance("kitten", "sitting") == 3
    for a, b in itertools.product(itertools.chain(*(itertools.product((0, 1), repeat=n) for n in range(4))), repeat=2):
        assert speech.distance(a, b) == plain_distance(a, b)


def test_the_error_is_of_all_labels_together():
    found = speech.scores([[1, 2, 3], [], [7]], [[1, 2, 3], [4], [7, 7]])
    assert found == pytest.approx({"label_error": 100 * 2 / 6, "wrong_strings": 100 * 2 / 3})


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        data = speech.stand_in(tmp_path_factory.mktemp("digits"))
        problem = speech.make(dataclasses.replace(Speech(**data), **Speech.SMOKE | {"strings": 60}))
        return problem, jax.tree.map(lambda a: 4 * a, problem.layer.init(jax.random.key(2)))


def test_a_batch_has_the_digits_as_labels_from_one_on(problem):
    batch = problem[0].batch(3, 1)
    assert batch.xs.shape == (mel.frames_in(40000, speech.FRAME, speech.HOP), 2, 8)
    for k, count in enumerate(batch.label_lengths):
        assert (batch.labels[:count, k] >= 1).all()
        assert not batch.labels[count:, k].any()
        assert not batch.xs[batch.lengths[k] :, k].any()
        assert np.ptp(batch.xs[batch.lengths[k] - 1, k]) > 0


def test_what_is_predicted_of_a_file_is_what_is_judged(problem, tmp_path):
    """The judgement reads padded pieces, of which the last is filled up; a file is read alone."""
    problem, params = problem
    sounds = speech.judged(
        {("someone", d): [np.sin(np.arange(800 + 50 * d) * (d + 1) / 4)] for d in range(10)}, Speech(strings=3), "test"
    )
    listen = speech.make_listen(problem.layer, 166)
    paths = [tmp_path / f"{k}.wav" for k in range(3)]
    for path, said in zip(paths, sounds, strict=True):
        path.write_bytes(wav_of(0.5 * said.sound))
    xs = [speech.standardised(wav.read_wav(path, 8000), problem.assets, 8) for path in paths]
    for path, heard in zip(paths, listen(params, xs), strict=True):
        columns = problem.predict(params, path)
        assert columns["digit"] == heard.digits
        assert len(columns["second"]) == len(columns["probability"]) == len(heard.digits)
        assert columns["second"] == sorted(columns["second"])
    assert any(len(heard.digits) for heard in listen(params, xs))


def test_a_run_leaves_the_first_test_string_beside_its_alignment(problem, tmp_path):
    problem, params = problem
    problem.finish(params, tmp_path, Console(quiet=True))
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")


def test_when_a_digit_is_said_is_when_its_path_begins():
    path = [0, 3, 3, 0, 3, 8, 8]
    logits = np.full((7, 11), -4.0)
    logits[np.arange(7), path] = [4, 4, 5, 4, 4, 4, 4]
    columns = speech.said(logits)
    assert columns["digit"] == [2, 2, 7]
    assert columns["second"] == [0.03, 0.12, 0.15]
    highest = [np.exp(x) / (np.exp(x) + 10 * np.exp(-4)) for x in (5, 4, 4)]
    assert columns["probability"] == pytest.approx(highest, abs=1e-6)
