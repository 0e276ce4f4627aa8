"""The file that the demo sells: the sound of a bell, computed and always the same bytes."""

import math
import struct
import wave
from pathlib import Path

RATE_HZ = 22_050
SECONDS = 8
STRIKE_HZ = 233.0
#: Partials of a church bell (hum, prime, tierce, quint, nominal …): ratio, loudness, decay in s.
PARTIALS = (
    (0.5, 0.30, 4.5),
    (1.0, 0.45, 3.2),
    (1.2, 0.40, 2.4),
    (1.5, 0.18, 1.8),
    (2.0, 0.50, 1.6),
    (2.67, 0.16, 0.9),
    (4.2, 0.10, 0.4),
)
#: When each stroke begins, in seconds, and how loud it is.
STROKES = ((0.05, 0.42), (4.6, 0.13))


def write_bell(path: Path) -> None:
    """Write the sound as a mono WAV file of 16 bits."""
    samples = [0.0] * (RATE_HZ * SECONDS)
    for begin_s, loudness in STROKES:
        _add_stroke(samples, round(begin_s * RATE_HZ), loudness)
    values = (round(max(-1.0, min(1.0, sample)) * 32_767) for sample in samples)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *values))


def _add_stroke(samples: list[float], first: int, loudness: float) -> None:
    for ratio, share, decay_s in PARTIALS:
        step = 2 * math.pi * STRIKE_HZ * ratio / RATE_HZ
        fade = math.exp(-1 / (decay_s * RATE_HZ))
        level = loudness * share
        for number in range(len(samples) - first):
            samples[first + number] += level * math.sin(step * number)
            level *= fade
