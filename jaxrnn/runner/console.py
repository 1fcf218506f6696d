"""Where a run's words go."""

import sys

import jax
from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """A reader that has seen enough (`| head`) ends the talking, not the training."""
        self.quiet = True


def make_console() -> Console:
    """A console that no character can make fail. Of several processes, the first one's speaks."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    return _Console(quiet=jax.process_index() > 0)
