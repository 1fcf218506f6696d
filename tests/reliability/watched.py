"""Commands in one process that is watched: what they run, import, connect to and write, by Python's audit hooks."""

import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

MARK = "jaxrnn_trap"  # in all that a hostile file wants to have run, and a module that would betray its import
RUNS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.", "subprocess.", "ctypes.", "code.")
TALKS = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.")
LIMIT = 20  # seconds
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """What happened that should not, while `folder` is the one place that may be written."""

    def __init__(self) -> None:
        self.folder, self.events = "", []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        folder, self.folder = self.folder, ""  # what is asked below is heard too
        if folder and self.is_bad(folder, event, arguments):
            self.events.append(f"{event} {arguments!r}"[:300])
        self.folder = folder

    def is_bad(self, folder: str, event: str, arguments: tuple[Any, ...]) -> bool:
        caches = [os.environ[name] + "/" for name in ("JAX_COMPILATION_CACHE_DIR",) if name in os.environ]

        def outside(path: Any) -> bool:
            if not isinstance(path, str | bytes | os.PathLike):
                return False
            where = os.path.realpath(os.fsdecode(path))
            return not (where + "/").startswith((folder + "/", os.devnull + "/", *caches))

        if event.startswith(RUNS):
            return not is_harmless(event, arguments)
        if event == "socket.__new__":
            return arguments[1] != socket.AF_UNIX  # an event loop has one to wake itself
        if (event.startswith(TALKS) and event != "socket.gethostname") or event == "pickle.find_class":
            return True
        if event == "import":
            return MARK in arguments[0]
        if event in ("compile", "exec"):
            parsed = arguments[1:] == ("<unknown>",)  # by ast.parse, as numpy does; were it run, `exec` would tell
            return MARK in about(arguments[0]) and not parsed
        if event == "open":
            path, mode, flags = arguments
            return bool((flags or 0) & WRITING or set(mode or "") & set("wax+")) and outside(path)
        return event.startswith(CHANGES) and any(map(outside, arguments[:2]))


def is_harmless(event: str, arguments: tuple[Any, ...]) -> bool:
    """The C library for its malloc, and the commit that a run is of."""
    if event == "ctypes.dlopen":
        return arguments[0] is None
    if event.startswith("ctypes."):
        return event != "ctypes.dlopen" and MARK not in repr(arguments)
    return event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and "git" in repr(arguments)


def about(source: Any) -> str:
    """A text that is compiled, or the names and texts in code that is run."""
    if hasattr(source, "co_consts"):
        return repr((source.co_consts, source.co_names, source.co_filename))
    return source.decode(errors="replace") if isinstance(source, bytes) else repr(source)


def too_long(*arguments: Any) -> None:
    raise KeyboardInterrupt(f"not done after {LIMIT} s")


def watch(cases: list[tuple[str, list[str]]], answers: str) -> None:
    """Each case: a folder to be in, and the words of a command, or `load` and a file, or `do` and code.

    Answers as JSON lines.
    """
    import jaxrnn.cli
    import jaxrnn.interop

    watch, known = Watch(), set(sys.modules)
    homes = tuple(os.path.realpath(home) for home in (sys.prefix, sys.base_prefix, Path(jaxrnn.__file__).parents[1]))
    signal.signal(signal.SIGALRM, too_long)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(answers, "w") as file:
        for folder, words in cases:
            os.chdir(folder)
            for number, name in ((1, "shown"), (2, "said")):
                log = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(log, number)
                os.close(log)
            code: Any = 0
            signal.alarm(LIMIT)
            watch.folder = os.path.realpath(folder)
            try:
                if words[0] == "do":
                    exec(compile(words[1], "<deed>", "exec"))
                elif words[0] == "load":
                    jaxrnn.interop.load(words[1], like={"w": __import__("numpy").zeros((2, 2), "float32")})
                else:
                    jaxrnn.cli.main(words)
            except SystemExit as stop:
                code = stop.code
            except ValueError as error:
                os.write(2, f"jaxrnn: {error}\n".encode(errors="replace"))
                code = 2 if words[0] == "load" else "ValueError"
            except BaseException as error:
                code = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            watch.folder = ""
            sys.stdout.flush()
            said, shown = (Path(name).read_bytes().decode(errors="replace") for name in ("said", "shown"))
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            new = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - known}
            known |= set(new)
            strange = [n for n, file in new.items() if file and not os.path.realpath(file).startswith(homes)]
            events = watch.events + [f"import {name}" for name in strange]
            answer = {"code": code, "said": said, "shown": shown, "events": events, "MB": grown}
            watch.events = []
            print(json.dumps(answer), file=file, flush=True)
