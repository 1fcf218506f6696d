"""Several processes as one run, through jax.distributed.

jax.distributed ends a process that cannot reach the others by abort(), with a stack trace, and only after a while. So
they meet here first, on the coordinator's own port, and whoever waits in vain says so; and they stay in touch while
the run goes on, so that whoever loses another says so too, and ends.
"""

import atexit
import contextlib
import os
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxrnn.runner.config import Trained
from jaxrnn.runner.stopping import Stopped, abandon

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HERE, GOODBYE = b".", b"!"
Peers = dict[int, socket.socket]  # process 0 knows all others, any other knows process 0


@contextlib.contextmanager
def joined(config: Trained) -> Iterator[None]:
    """Within, this process is one of `processes`. One that fails alone leaves at once, without the others."""
    peers = join(config)
    lost = threading.Event()
    if peers:
        threading.Thread(target=watch, args=(peers, config.heartbeat, lost), daemon=True).start()
    try:
        yield
    except BaseException as error:
        if not peers:
            raise
        if isinstance(error, FloatingPointError) or (isinstance(error, Stopped) and error.agreed):
            part(peers)  # as all the others do, at the same step
            raise
        if not isinstance(error, Stopped | ValueError) and lost.wait(1):  # then this is only what comes of it
            time.sleep(60)
        codes = error.exit_code if isinstance(error, Stopped) else 2 if isinstance(error, ValueError) else 1
        atexit.register(leave, codes)  # runs before jax's own
        raise
    part(peers)


def part(peers: Peers) -> None:
    """Tell the others that this process ends because it is done."""
    for peer in peers.values():
        with contextlib.suppress(OSError):
            peer.sendall(GOODBYE)


def watch(peers: Peers, patience: float, lost: threading.Event) -> None:
    """End this process, with words, where another one has ended or was not heard of for `patience` seconds."""
    heard = dict.fromkeys(peers, time.monotonic())
    numbers = {peer: number for number, peer in peers.items()}
    while numbers:
        for peer in numbers:
            with contextlib.suppress(OSError):
                peer.setblocking(False)
                peer.sendall(HERE)
        for peer in select.select(list(numbers), [], [], min(1.0, patience / 4))[0]:
            number = numbers[peer]
            try:
                words = peer.recv(4096)
            except OSError:
                words = b""
            if not words:
                lose(number, "has ended", lost)
            if GOODBYE in words:
                del numbers[peer]
            heard[number] = time.monotonic()
        for number in numbers.values():
            if time.monotonic() - heard[number] > patience:
                lose(number, f"was not heard of for {patience} s", lost)


def lose(number: int, how: str, lost: threading.Event) -> None:
    lost.set()
    print(
        f"jaxrnn: process {number} of the run {how}, so this one ends too; start all of them again with --resume",
        file=sys.stderr,
        flush=True,
    )
    abandon(0, 1)


def leave(code: int) -> None:
    """End here and now: jax.distributed would wait for the others to end too, and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def join(config: Trained) -> Peers:
    """Make this process one of `processes`, and return the others; none where none of the options was given.

    Raises ValueError when an option is missing or wrong, and where the others do not come within `wait` seconds.
    """
    coordinator, processes, process = config.coordinator, config.processes, config.process
    if coordinator is processes is process is None:
        return {}
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
    peers = meet((host if process else ours, int(port)), processes, process, config.wait)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from `stopping`
    bind = coordinator if ours else None
    jax.distributed.initialize(coordinator, processes, process, coordinator_bind_address=bind)
    return peers


def meet(address: tuple[str, int], processes: int, process: int, wait: float) -> Peers:
    """Lines to the others, once all are here: each tells process 0 its number, and is told when the last has come."""
    deadline = time.monotonic() + wait
    try:
        if process == 0:
            return host_meeting(address, processes, deadline)
        return {0: attend_meeting(address, process, deadline)}
    except OSError as error:
        name = f"{address[0] or 'port'}:{address[1]}".replace("port:", "port ")
        reason = error.strerror or str(error) or type(error).__name__
        raise ValueError(f"coordinator: {name}: {reason} (process {process} of {processes}, --wait {wait})") from None


def host_meeting(address: tuple[str, int], processes: int, deadline: float) -> Peers:
    """Process 0's part. The lines stay open on a port that is then jax's to listen on."""
    here: Peers = {}
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
            guest.sendall(HERE)
        stack.pop_all()
    return here


def attend_meeting(address: tuple[str, int], process: int, deadline: float) -> socket.socket:
    """The part of any other process."""
    while True:
        seconds = left(deadline, "nobody answers")
        with contextlib.suppress(ConnectionRefusedError), contextlib.ExitStack() as stack:
            host = stack.enter_context(socket.create_connection(address, seconds))
            host.sendall(str(process).encode())
            host.settimeout(left(deadline, "not all came"))
            if not host.recv(1):
                raise OSError("process 0 has left")
            stack.pop_all()
            return host
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
