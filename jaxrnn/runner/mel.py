"""The logarithm of a sound's power in bands of the mel scale, frame by frame.

frame k     samples [k hop, k hop + width), times a Hann window, width and hop in samples
power       |rfft(frame)|^2 + floor, the floor being the power of the noise that rounding to 16 bits makes
band        a triangle over the frequencies, from the peak of the band below to that of the band above; the peaks
            stand at equal distances on the mel scale (Davis & Mermelstein 1980)
mel(f)      2595 log10(1 + f / 700), f in Hz (O'Shaughnessy 1987)
"""

import functools

import numpy as np
from jaxtyping import Float


def log_mel(
    sound: Float[np.ndarray, "samples"], rate: int, bands: int, width: int, hop: int
) -> Float[np.ndarray, "frames bands"]:
    """Of a sound in [-1, 1]; what is shorter than a frame is one frame, ended with zeros."""
    sound = np.pad(sound, (0, max(width - len(sound), 0)))
    window = np.hanning(width + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(sound, width)[::hop] * window
    floor = (2.0**-15) ** 2 / 12 * (window**2).sum()
    power = np.abs(np.fft.rfft(frames)) ** 2 + floor
    return np.log(power @ filters(rate, bands, width).T).astype(np.float32)


def frames_in(samples: int, width: int, hop: int) -> int:
    """How many frames `log_mel` gives."""
    return 1 + max(samples - width, 0) // hop


@functools.cache
def filters(rate: int, bands: int, width: int) -> Float[np.ndarray, "bands frequencies"]:
    """The triangles, from 0 Hz to half the rate. Raises ValueError where one is too narrow to hold a frequency."""
    edges = hertz(np.linspace(0, mel(rate / 2), bands + 2))
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    f = np.fft.rfftfreq(width, 1 / rate)
    found = np.clip(np.minimum((f - low) / (peak - low), (high - f) / (high - peak)), 0, None)
    if not found.any(1).all():
        raise ValueError(f"bands: got {bands}, too many for {width} samples at {rate} Hz: one holds no frequency")
    return found


def mel(f: float) -> float:
    return 2595 * np.log10(1 + f / 700)


def hertz(m: Float[np.ndarray, "edges"]) -> Float[np.ndarray, "edges"]:
    return 700 * (10 ** (m / 2595) - 1)
