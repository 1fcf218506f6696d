"""How much memory a call takes: the growth of the process's resident memory at its highest, on Linux."""

from collections.abc import Callable
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_HIGHEST = "5"  # proc(5): the highest resident size begins anew


def growth(call: Callable[[], None]) -> int | None:
    """Call, and tell by how many bytes the process grew at most; None where the system does not say."""
    try:
        CLEAR.write_text(RESET_HIGHEST)
        before = _bytes("VmRSS")
    except OSError:
        call()
        return None
    call()
    return max(0, _bytes("VmHWM") - before)


def _bytes(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])
