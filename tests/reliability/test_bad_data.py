"""A bad file is told in one line, with the place in it, and leaves no run; what is odd but clear is read."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import zipfile

import numpy as np
import pytest

from jaxrnn.cli import main
from jaxrnn.runner.tables import read_table

ROWS = [f"2020-01-{1 + k // 24:02} {k % 24:02}:00:00,{k % 5},{k}" for k in range(40)]


def lines(*changed, header="date,a,b", rows=ROWS):
    """A good series of 40 rows, with those lines of the file, counted from 1, in place of its own."""
    every = [header, *rows]
    for number, line in changed:
        every[number - 1] = line
    return ("\n".join(every) + "\n").encode()


SERIES = ["series", "--inputs", "all", "--history", "5", "--horizon", "2"]
A = "line {}, column 'a'"
CHOOSE = "--target and --inputs say which columns are read"
POINT = "wanted a finite number; write decimals with a point"
FILL = "fill what is missing first, as ffill or interpolate of pandas do"

# name of the case -> (options, what the file holds, what is said of it after its name)
TABLES = {
    "empty": (b"", " is empty (0 bytes), wanted a CSV file with a header and a row a moment"),
    "empty lines": (b"\n\n\r\n", " has nothing but empty lines, wanted a CSV file"),
    "header alone": (b"date,a,b\n", " has a header and no rows, wanted a CSV file"),
    "no header": (b"1,2\n3,4\n", ", line 1 has numbers alone, wanted a header with the names of the columns"),
    "no header, with dates": (
        lines(header="2020-01-01 00:00,1.5,2"),
        ", line 1 has dates and numbers alone, wanted a header with the names of the columns",
    ),
    "short row": (lines((7, "2020-01-01 05:00:00,1")), ", line 7 has 2 cells, the header has 3"),
    "long row": (lines((7, "2020-01-01 05:00:00,1,2,3")), ", line 7 has 4 cells, the header has 3"),
    "a word": (
        lines((7, "2020-01-01 05:00:00,cold,2")),
        f", {A.format(7)} is 'cold', wanted a finite number; {CHOOSE}",
    ),
    "a long word": (
        lines((7, f"2020-01-01 05:00:00,{'y' * 90},2")),
        f", {A.format(7)} is '{'y' * 37}...', wanted a finite number",
    ),
    "nothing": (lines((7, "2020-01-01 05:00:00,,2")), f", {A.format(7)} is empty, wanted a finite number; {FILL}"),
    "nan": (lines((7, "2020-01-01 05:00:00,NaN,2")), f", {A.format(7)} is 'NaN', wanted a finite number; {FILL}"),
    "infinite": (lines((7, "2020-01-01 05:00:00,-inf,2")), f", {A.format(7)} is '-inf', wanted a finite number"),
    "too large": (lines((7, "2020-01-01 05:00:00,1e999,2")), f", {A.format(7)} is '1e999', wanted a finite number"),
    "decimal comma": (lines(rows=['0;"1,5";2'] * 40, header="x;a;b"), f", {A.format(2)} is '1,5', {POINT}"),
    "quoted newline": (
        lines((2, '"2020-01-01\n00:00:00",1,2'), (7, ROWS[5].replace(",0,", ",cold,"))),
        f", {A.format(8)} is 'cold', wanted a finite number",
    ),
    "quote left open": (lines((41, '2020-01-09,1,"2')), ", line 41 is not CSV: unexpected end of data"),
    "text after a quote": (lines((7, 'x,"1"2,3')), ", line 7 is not CSV: ',' expected after '\"'"),
    "latin-1": ("date,Straße\n".encode("latin-1"), " is not UTF-8 text: byte 9 is 0xdf (invalid continuation byte)"),
    "utf-16": ("date,a\n".encode("utf-16"), " is not UTF-8 text: byte 0 is 0xff (invalid start byte)"),
    "binary": (bytes(range(256)), " is not UTF-8 text: byte 128 is 0x80 (invalid start byte)"),
    "NUL": (lines((7, "x,\0,3")), ", line 7 has a NUL byte, wanted a CSV file"),
    "one name twice": (lines(header="date,a,a"), ", line 1: columns 2 and 3 are both 'a'"),
    "no name": (lines(header="date,a,"), ", line 1: column 3 has no name"),
    "a column alone": (b"date\n" + b"2020-01-01\n" * 40, " has no column beside 'date', wanted one to forecast"),
    "too few rows": (
        lines(rows=ROWS[:8]),
        " has 8 rows: 6 to train on, 1 valid and 1 test, wanted at least 7 to train",
    ),
    "too few to judge": (lines(rows=ROWS[:9]), " has 9 rows: 7 to train on, 1 valid and 1 test, wanted at least hor"),
    "time goes back": (
        lines((7, "2019-01-01,1,2")),
        ", line 7, column 'date' is '2019-01-01', wanted a time after '2020-01-01 04:00:00'",
    ),
    "time stands still": (lines((7, ROWS[4])), ", line 7, column 'date' is '2020-01-01 04:00:00', wanted a time after"),
    "no time": (lines((7, "soon,1,2")), ", line 7, column 'date' is 'soon', wanted a time like '2020-01-01 00:00:00'"),
    "many columns": (
        b",".join(b"c%d" % k for k in range(100_000)) + b"\n1,2\n",
        ", line 2 has 2 cells, the header has 1",
    ),
    "old Mac's line ends": (lines().replace(b"\n", b"\r"), ", line 1 is not CSV: new-line character seen in unquoted"),
}


def arrays(**given):
    file = io.BytesIO()
    np.savez(file, **given)
    return file.getvalue()


def bare(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def member(name, raw):
    """A zip file with one member, which need be no array."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, raw)
    return file.getvalue()


def damaged():
    raw = bytearray(GOOD)
    raw[len(raw) // 3] ^= 1
    return bytes(raw)


XS, YS, LENGTHS = np.arange(240.0).reshape(20, 4, 3), np.arange(20) % 2, np.full(20, 4)
GOOD = arrays(xs=XS, ys=YS, lengths=LENGTHS)
HOLE = XS.copy()
HOLE[3, 2, 1] = np.nan
LABELS = np.arange(20) / 3
LABELS[7] = np.inf

ARRAYS = {
    "not a zip": (b"xs,ys\n", " is no npz file, wanted what numpy.savez writes"),
    "one bare array": (bare(XS), " is no npz file, wanted what numpy.savez writes"),
    "a pickle": (pickle.dumps(XS), " is no npz file, wanted what numpy.savez writes"),
    "cut short": (GOOD[:-200], " is no npz file, wanted what numpy.savez writes"),
    "a flipped bit": (damaged(), ": xs cannot be read, wanted what numpy.savez writes"),
    "Python objects": (arrays(xs=np.array([[1], None], object), ys=YS), ": xs has Python objects, wanted an array"),
    "a member that is no array": (member("xs.npy", b"hello"), " has no array 'ys'; it has xs"),
    "no arrays": (member("readme.txt", b"hello"), " has no array 'xs'; it has readme.txt"),
    "no xs": (arrays(x=XS, ys=YS), " has no array 'xs'; it has x, ys"),
    "no ys": (arrays(xs=XS), " has no array 'ys'; it has xs"),
    "xs flat": (arrays(xs=np.arange(9.0), ys=YS), ": xs is float64[9], wanted numbers [N, T, n], or [all steps, n]"),
    "xs of words": (arrays(xs=np.full((20, 4, 3), "x"), ys=YS), ": xs is <U1[20, 4, 3], wanted numbers [N, T, n]"),
    "no lengths": (arrays(xs=XS[0], ys=YS), ": xs is float64[4, 3] and there are no lengths, wanted them, or xs [N, T"),
    "length 0": (arrays(xs=XS, ys=YS, lengths=LENGTHS - 4 * (YS == 1)), ": lengths[1] is 0, wanted 1 to 4"),
    "length too long": (arrays(xs=XS, ys=YS, lengths=LENGTHS + YS), ": lengths[1] is 5, wanted 1 to 4"),
    "lengths too few": (arrays(xs=XS, ys=YS, lengths=LENGTHS[1:]), ": lengths is int64[19], wanted whole numbers [20]"),
    "lengths no whole numbers": (
        arrays(xs=XS, ys=YS, lengths=LENGTHS / 2),
        ": lengths is float64[20], wanted whole nu",
    ),
    "lengths of other steps": (
        arrays(xs=XS[0], ys=YS[:2], lengths=np.array([1, 2])),
        ": lengths add up to 3, wanted the 4 steps of xs",
    ),
    "no sequence": (arrays(xs=XS[:0], ys=YS[:0]), " has no sequence: xs is float64[0, 4, 3]"),
    "nan in xs": (arrays(xs=HOLE, ys=YS), ": xs[3, 2, 1] is nan, wanted a finite number"),
    "infinite label": (arrays(xs=XS, ys=LABELS), ": ys[7] is inf, wanted a finite number"),
    "labels of other shape": (
        arrays(xs=XS, ys=YS[:5]),
        ": ys is int64[5], wanted labels [20], or one a step [20, 4]",
    ),
    "complex labels": (arrays(xs=XS, ys=YS * 1j), ": ys is complex128[20], wanted numbers or words [20]"),
    "one class": (arrays(xs=XS, ys=YS * 0), ": ys[0] and every other label is '0', wanted two classes or more"),
    "few sequences": (arrays(xs=XS[:3], ys=YS[:3]), " has 3 sequences, valid is 0.15 and test 0.15, wanted at least 1"),
}

WALKS = "who,x,step\na,1,go\na,2,go\nb,3,stop\nb,4,stop\n"

WALK = {
    "two columns": ("who,step\na,1\n", " has the columns who, step, wanted at least three: the sequence, a feature"),
    "a sequence in two": (WALKS + "a,5,go\n", ", line 6, column 'who': sequence 'a' goes on after another, wanted its"),
    "no label": (WALKS + "c,5,\n", ", line 6, column 'step' is empty, wanted a label"),
    "a series": (
        "date,x,y\n1,2,0.5\n2,3,0.1\n3,4,0.2\n",
        " has another 'date' in each row, wanted a column that says which sequence a row is of, named by --sequence",
    ),
    "a word as a feature": (WALKS + "c,five,go\n", ", line 6, column 'x' is 'five', wanted a finite number"),
}

CASES = {f"series: {name}": ("f.csv", SERIES, *case) for name, case in TABLES.items()}
CASES |= {f"npz: {name}": ("f.npz", ["sequences"], *case) for name, case in ARRAYS.items()}
CASES |= {f"csv: {name}": ("f.csv", ["sequences"], text.encode(), said) for name, (text, said) in WALK.items()}
CASES |= {
    "gzip cut short": ("f.csv.gz", SERIES, gzip.compress(lines())[:-9], " cannot be unpacked: Compressed file ended"),
    "not gzip": ("f.csv.gz", SERIES, lines(), " cannot be unpacked: Not a gzipped file (b'da')"),
    "not xz": ("f.csv.xz", SERIES, lines(), " cannot be unpacked: Input format not supported by decoder"),
    "not bzip2": ("f.csv.bz2", SERIES, lines(), " cannot be unpacked: Invalid data stream"),
    "text: gzip cut short": ("f.txt.gz", ["text"], gzip.compress(b"abc" * 999)[:-9], " cannot be unpacked: Compressed"),
    "speech: not a tar": ("f.tar", ["speech"], b"riff" * 200, " is no tar: file could not be opened successfully"),
    "speech: no recordings": ("f.tar", ["speech"], bytes(10240), " has no file named such as 7_george_12.wav"),
    "translate: a file": ("f.de", ["translate"], b"ein Haus\n", " is no folder, wanted one with train.de and others"),
    "text: one character": ("f.txt", ["text"], b"a", " has 1 characters, valid is 0.05 and test 0.05, wanted"),
}


def said_of(capsys, path, options):
    out = path.parent / "run"
    with pytest.raises(SystemExit) as stop:
        main(["train", *options, "--data", str(path), "--out", str(out)])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert not out.exists()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"jaxrnn: data: {path}")
    return line.removeprefix(f"jaxrnn: data: {path}")


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_told_in_one_line_and_leaves_no_run(name, tmp_path, capsys):
    file, options, raw, wanted = CASES[name]
    path = tmp_path / file
    path.write_bytes(raw)
    said = said_of(capsys, path, options)
    assert said.startswith(wanted)


# what the two files of a part hold -> what is said after the folder's name
PAIRS = {
    "an empty line": (b"ein Haus\n\n", b"a house\na cat\n", "/train.de, line 2 is empty, wanted a sentence"),
    "not UTF-8": (b"ein Haus\xff\n", b"a house\n", "/train.de is not UTF-8 text: byte 8 is 0xff (invalid start byte)"),
    "one of two": (b"ein Haus\n", None, " has no train.lc.norm.tok.en or "),
    "not as many": (b"ein Haus\n", b"a house\na cat\n", "lines are not pairs: "),
}


@pytest.mark.parametrize("name", PAIRS)
def test_bad_pairs_are_told_in_one_line(name, tmp_path, capsys):
    *pair, wanted = PAIRS[name]
    for language, raw in zip(("de", "en"), pair, strict=True):
        if raw is not None:
            (tmp_path / f"train.{language}").write_bytes(raw)
    with pytest.raises(SystemExit) as stop:
        main(["train", "translate", "--data", str(tmp_path), "--out", str(tmp_path / "run")])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removeprefix("jaxrnn: data: ").removeprefix(str(tmp_path)).startswith(wanted)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [SERIES, ["sequences"], ["text"]], ids=lambda options: options[0])
def test_what_is_no_file_is_told(options, tmp_path, capsys):
    assert said_of(capsys, tmp_path, options).startswith(" is a directory, wanted a file")
    assert said_of(capsys, tmp_path / "no", options) == " cannot be read: No such file or directory"
    if os.path.exists("/dev/null"):
        with pytest.raises(SystemExit) as stop:
            main(["train", *options, "--data", "/dev/null", "--out", str(tmp_path / "run")])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith("jaxrnn: data: /dev/null is a device, wanted a file")


def test_a_file_one_may_not_read_is_told(tmp_path, capsys, monkeypatch):
    path = tmp_path / "f.csv"
    path.write_bytes(lines())

    def refuse(path):  # chmod would not stop root, as whom tests may run
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert said_of(capsys, path, SERIES) == " cannot be read: Permission denied"


class Trap:
    """Unpickling it makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_an_npz_file_is_run(tmp_path, capsys):
    path, caught = tmp_path / "f.npz", tmp_path / "caught"
    path.write_bytes(arrays(xs=np.array([Trap(caught)], object), ys=YS))
    assert said_of(capsys, path, ["sequences"]) == ": xs has Python objects, wanted an array of numbers"
    assert not caught.exists()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["series", "--target", "c"], "target: {} has no column 'c'; it has date, a, b"),
        (["series", "--inputs", "a", "c"], "inputs: {} has no column 'c'; it has date, a, b"),
        (["series", "--valid", "1.5"], "valid: got 1.5, wanted a share below 1 or a whole number of rows"),
        (["series", "--valid", "30", "--test", "30"], "data: {} has 40 rows: -20 to train on, 30 valid and 30 test"),
        (["sequences", "--label", "c"], "label: {} has no column 'c'; it has date, a, b"),
        (["sequences", "--sequence", "b"], "label: it is column 'b' of {}, as the sequence is; wanted another"),
        (
            ["sequences", "--label", "date", "--sequence", "b", "--kind", "numbers"],
            "data: {}, line 2, column 'date' is",
        ),
    ],
    ids=" ".join,
)
def test_options_that_the_file_does_not_fit_are_told(options, wanted, tmp_path, capsys):
    path, out = tmp_path / "f.csv", tmp_path / "run"
    path.write_bytes(lines())
    with pytest.raises(SystemExit) as stop:
        main(["train", *options, "--data", str(path), "--out", str(out)])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.startswith(f"jaxrnn: {wanted.format(path)}")
    assert not out.exists()


def test_labels_of_which_training_knew_nothing_are_told_with_their_place(tmp_path, capsys):
    path, other, out = tmp_path / "f.npz", tmp_path / "other.npz", tmp_path / "run"
    path.write_bytes(GOOD)
    other.write_bytes(arrays(xs=XS, ys=YS + 1))
    with pytest.raises(SystemExit) as stop:
        main(["train", "sequences", "--data", str(path), "--test-data", str(other), "--out", str(out)])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    said = "ys[1] is '2', wanted one of the 2 classes of the training data: 0, 1"
    assert line == f"jaxrnn: test_data: {other}: {said}"
    assert not out.exists()


@pytest.mark.parametrize("name", ["as it is", "mark", "CRLF", "spaces", "gz", "bz2", "xz", "tabs", "semicolons"])
def test_what_is_odd_but_clear_is_read(name, tmp_path):
    plain = lines()
    raw, suffix = {
        "as it is": (plain, ""),
        "mark": (b"\xef\xbb\xbf" + plain, ""),
        "CRLF": (plain.replace(b"\n", b"\r\n"), ""),
        "spaces": (b"\n\n" + plain.replace(b"\n", b"\n\n").replace(b"date,a", b"date , a"), ""),
        "gz": (gzip.compress(plain), ".gz"),
        "bz2": (bz2.compress(plain), ".bz2"),
        "xz": (lzma.compress(plain), ".xz"),
        "tabs": (plain.replace(b",", b"\t"), ""),
        "semicolons": (plain.replace(b",", b";"), ""),
    }[name]
    path = tmp_path / f"f.csv{suffix}"
    path.write_bytes(raw)
    table = read_table(path, "")
    assert list(table.columns) == ["date", "a", "b"]
    assert table.columns["b"] == [str(k) for k in range(40)]
