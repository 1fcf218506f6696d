"""One contender's process, `python -m jaxrnn.bench.worker FRAMEWORK`: reads a question a line, answers a line.

A question is {"do": name, ...arguments}; an answer is a JSON object, with "error" in it where something was raised.
What libraries print goes to stderr, so that answers stand alone.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrnn.bench import memory
from jaxrnn.bench.case import Case, Contender

WAKING_SECONDS = 0.1  # GRU 16, 200, 32, 64 on two threads: 8.3 ms after one run, 6.1 ms after these


class Worker:
    """Does what it is asked; its step is built once."""

    def ready(self) -> dict[str, Any]:
        """An answer once everything is imported."""
        return {}

    def problem(self, case: list[Any], forms: dict[str, str], solve: bool) -> dict[str, Any]:
        """Draw the numbers of a case and solve them in float64, for every form that some contender computes."""
        from jaxrnn.bench import problem

        for computes, path in forms.items():
            numbers, solution = _paths(path)
            if solve:
                problem.solve(Case(*case), computes, numbers, solution)
            else:
                problem.make(Case(*case), computes, numbers)
        return {}

    def machine(self) -> dict[str, Any]:
        from jaxrnn.bench.machine import peak
        from jaxrnn.runner.record import provenance

        return {**provenance(), "processor": _processor(), "threads": len(os.sched_getaffinity(0)), **peak()}

    def case(self, case: list[Any], forms: list[str]) -> dict[str, Any]:
        """How much work a case is, and how fast one product of its size is."""
        from jaxrnn.bench.count import flops, least_bytes
        from jaxrnn.bench.machine import product_flops

        it = Case(*case)
        return {
            "product_flops": product_flops(it),
            "work": {name: {"flops": flops(it, name), "least_bytes": least_bytes(it, name)} for name in forms},
        }

    def build(self, case: list[Any], contender: list[Any], computes: str, path: str) -> dict[str, Any]:
        """Everything up to and with the first call, each stage timed."""
        from jaxrnn.bench import problem

        self.solution = _paths(path)[1]
        given = problem.load(Case(*case), computes, _paths(path)[0])
        who = Contender(*contender)
        how = {"method": who.method, "compiler_options": who.compiler_options} if who.method else {}
        self.step = _peer(who.framework).build(given, **how)
        stages = self.step.compile()
        began = time.perf_counter()
        grown = memory.growth(self.step.run)
        stages["first_seconds"] = time.perf_counter() - began
        on_device = self.step.peak_bytes()
        return {**stages, **self.step.notes, "peak_bytes": grown if on_device is None else on_device}

    def time(self) -> dict[str, float]:
        """Runs for WAKING_SECONDS, to bring caches, threads and the clock rate back, and one that is timed."""
        waking = time.perf_counter() + WAKING_SECONDS
        while time.perf_counter() < waking:
            self.step.run()
        began = time.perf_counter()
        self.step.run()
        return {"seconds": time.perf_counter() - began}

    def check(self) -> dict[str, Any]:
        """The last run's outputs against float64."""
        from jaxrnn.bench import problem

        return {"errors": problem.errors(self.step.outputs(), self.solution)}


def _peer(framework: str) -> Any:
    return importlib.import_module(f"jaxrnn.bench.peers.{framework}")


def _paths(path: str) -> tuple[Path, Path]:
    """Where the numbers of a case and their solution are."""
    return Path(path + ".npz"), Path(path + ".solution.npz")


def _processor() -> str | None:
    """The CPU's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def serve(worker: Any, questions: Any, answer: Callable[[str], Any]) -> None:
    for line in questions:
        question = json.loads(line)
        try:
            told = getattr(worker, question.pop("do"))(**question)
        except Exception as error:  # whatever a library raises is an answer too: it costs no other contender anything
            first = str(error).strip().partition("\n")[0]
            told = {"error": f"{type(error).__name__}: {first}"[:300]}
        answer(json.dumps(told) + "\n")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for framework in sys.argv[1:]:
        _peer(framework)
    serve(Worker(), sys.stdin, answers.write)


if __name__ == "__main__":
    main()
