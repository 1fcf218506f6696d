"""A file that wants to harm is told in one line: nothing in it is run, nothing outside the run's folder is written."""

import pytest

from reliability import hostile
from reliability.watched import MARK

SPRUNG = "import pathlib\npathlib.Path({!r}).touch()\ndef spring(*a): pathlib.Path({!r}).touch()\n"
pytestmark = [pytest.mark.xdist_group("hostile"), pytest.mark.timeout(600)]
GROUPS = ("recipe", "run.json", "run:", "checkpoint", "plan.json", "weights", "data")


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.heavy)], ids=["some", "every"])
def answers(request, whole, tmp_path_factory):
    """What the commands came to, all in one process; the trap would be found, were it asked for."""
    from reliability.child import watched

    place = tmp_path_factory.mktemp("hostile")
    trap = place / "trap"
    trap.mkdir()
    sprung = str(place / "sprung")
    (trap / f"{MARK}.py").write_text(SPRUNG.format(sprung, sprung))
    cases = hostile.cases(place, whole, request.param)
    kept = {name: outside(folder) for name, (folder, _) in cases.items()}
    found = watched([(str(folder), words) for folder, words in cases.values()], place / "answers", trap, 580)
    assert not (place / "sprung").exists()
    return {
        name: answer | {"kept": kept[name] == outside(folder)}
        for (name, (folder, _)), answer in zip(cases.items(), found, strict=True)
    }


def outside(folder):
    return sorted((str(p), p.read_bytes() if p.is_file() else b"") for p in (folder / "outside").rglob("*"))


# What does no harm, and is passed over: these commands go on with what else there is.
HARMLESS = {
    "checkpoint, eval: handlers are modules",  # jaxrnn says itself how each part is read
    "checkpoint, train: handlers are modules",
    "checkpoint, train: a step of another alphabet",  # then the run has no checkpoint, and starts over
    "checkpoint, train: a step of 200 digits",
    "checkpoint, train: a step before the first",
}


def test_there_are_many(answers):
    assert len(answers) >= 90
    assert {next(group for group in GROUPS if name.startswith(group)) for name in answers} == set(GROUPS)


def test_each_is_told_in_one_line(answers):
    for name, answer in answers.items():
        code, said = answer["code"], answer["said"]
        assert answer["shown"].replace("\n", "").isprintable(), name
        if code == 0:
            assert said == "", name
            assert name in HARMLESS or name.startswith("run.json, compare"), name  # which shows what is there
            continue
        assert code in (1, 2), (name, code)
        assert said.startswith("jaxrnn: "), (name, said)
        assert said.endswith("\n"), (name, said)
        assert said[:-1].isprintable(), (name, said)  # nothing for the terminal to obey, no second line
        assert len(said) < 2100, name


def test_nothing_in_them_is_run(answers):
    """Nor is anything imported that is not installed, written outside the run's folder, or connected to."""
    assert {name: answer["events"] for name, answer in answers.items() if answer["events"]} == {}
    assert [name for name, answer in answers.items() if not answer["kept"]] == []


def test_none_fills_the_memory(answers):
    assert max(answer["MB"] for answer in answers.values()) < 1000


def test_the_watch_would_have_seen_it(tmp_path):
    """Each thing that it is for, done in the watched process itself."""
    from reliability.child import watched

    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / f"{MARK}.py").write_text("def spring(): pass\n")
    for name in DEEDS:
        (tmp_path / name).mkdir()
    words = [(str(tmp_path / name), ["do", code.format(MARK=MARK)]) for name, code in DEEDS.items()]
    found = watched(words, tmp_path / "answers", trap)
    assert [name for name, answer in zip(DEEDS, found, strict=True) if not answer["events"]] == []


DEEDS = {
    "exec": "exec('{MARK} = 1')",
    "import": "import {MARK}",
    "command": "import os; os.system('true')",
    "process": "import subprocess; subprocess.run(['true'])",
    "fork": "import os\nif not os.fork(): os._exit(0)",
    "socket": "import socket; socket.socket().close()",
    "pickle": "import pickle; pickle.loads(b'cos\\ngetcwd\\n.')",
    "write": "open('../written', 'w').close()",
    "append": "import os; os.close(os.open('../written', os.O_CREAT | os.O_APPEND))",
    "folder": "import os; os.mkdir('../made')",
    "link": "import os; os.symlink('../x', 'l'); open('l', 'w').close()",
    "rename": "open('a', 'w').close(); import os; os.rename('a', '../a')",
}
