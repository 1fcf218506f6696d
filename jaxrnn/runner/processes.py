"""Several processes as one run, through jax.distributed.

jax.distributed ends a process that cannot reach the others by abort(), with a stack trace. So they meet here first, on
the coordinator's own port, and whoever waits in vain says so.
"""

import atexit
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxrnn.runner.config import Trained
from jaxrnn.runner.stopping import Stopped

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@contextlib.contextmanager
def joined(config: Trained) -> Iterator[None]:
    """Within, this process is one of `processes`. One that fails alone leaves at once, without the others."""
    join(config)
    try:
        yield
    except (FloatingPointError, Stopped):  # as in all the others, at the same step
        raise
    except BaseException as error:
        if jax.process_count() > 1:
            atexit.register(leave, 2 if isinstance(error, ValueError) else 1)  # runs before jax's own
        raise


def leave(code: int) -> None:
    """End here and now: jax.distributed would wait for the others to end too, and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def join(config: Trained) -> None:
    """Make this process one of `processes`; nothing happens where none of the options was given.

    Raises ValueError when an option is missing or wrong, and where the others do not come within `wait` seconds.
    """
    coordinator, processes, process = config.coordinator, config.processes, config.process
    if coordinator is processes is process is None:
        return
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is None or processes is None or process is None:
        got = f"{coordinator}, {processes} and {process}"
        raise ValueError(f"coordinator, processes and process: got {got}, wanted all three")
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"coordinator: got {coordinator!r}, wanted host:port")
    if process >= processes:
        raise ValueError(f"process: got {process}, wanted 0 to {processes - 1} for {processes} processes")
    host = host.strip("[]")
    ours = host if host in LOOPBACK else ""  # what is only for this machine is not offered to the network
    meet((host if process else ours, int(port)), processes, process, config.wait)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    bind = coordinator if ours else None
    jax.distributed.initialize(coordinator, processes, process, coordinator_bind_address=bind)


def meet(address: tuple[str, int], processes: int, process: int, wait: float) -> None:
    """Return once all processes are here: each tells process 0 its number, and is told when the last has come."""
    deadline = time.monotonic() + wait
    try:
        if process == 0:
            host_meeting(address, processes, deadline)
        else:
            attend_meeting(address, process, deadline)
    except OSError as error:
        name = f"{address[0] or 'port'}:{address[1]}".replace("port:", "port ")
        reason = error.strerror or str(error) or type(error).__name__
        raise ValueError(f"coordinator: {name}: {reason} (process {process} of {processes}, --wait {wait})") from None


def host_meeting(address: tuple[str, int], processes: int, deadline: float) -> None:
    """Process 0's part."""
    here: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack, socket.create_server(address) as server:
        while len(here) < processes - 1:
            server.settimeout(0.1)
            left(deadline, f"{len(here) + 1} of {processes} processes came")
            try:
                guest = stack.enter_context(server.accept()[0])
            except TimeoutError:
                continue
            guest.settimeout(1)
            with contextlib.suppress(OSError, ValueError):  # no process of ours
                here[int(guest.recv(16))] = guest
        for guest in here.values():
            guest.sendall(b"all here")
            guest.recv(1)  # until it has left: the port is then free at once


def attend_meeting(address: tuple[str, int], process: int, deadline: float) -> None:
    """The part of any other process."""
    while True:
        seconds = left(deadline, "nobody answers")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(address, seconds) as host:
            host.sendall(str(process).encode())
            host.settimeout(left(deadline, "not all came"))
            if host.recv(16):
                return
            raise OSError("process 0 has left")
        time.sleep(0.1)


def left(deadline: float, words: str) -> float:
    """Seconds until the deadline. Raises TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(words)
    return seconds


@contextlib.contextmanager
def run_directory(out: Path | None) -> Iterator[Path | None]:
    """Process 0 writes the run's directory; the others do the same work in one that then goes away."""
    if jax.process_index() == 0:
        yield out
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch) / "run"
