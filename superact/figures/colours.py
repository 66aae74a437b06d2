"""The colours of token scores: one diverging scale, blue below 0 and red above, for pictures, texts and terminals."""

from __future__ import annotations

DIVERGING = ("#2166AC", "#4393C3", "#92C5DE", "#D1E5F0", "#F7F7F7", "#FDDBC7", "#F4A582", "#D6604D", "#B2182B")
"""From the lowest score to the highest, on light ground; ColorBrewer's RdBu, which colour-blind readers tell apart."""
DIVERGING_DARK = ("#5AB0F0", "#3F86BD", "#2C5E87", "#223F57", "#24272B", "#573030", "#8C3F3A", "#C4574E", "#FF7A6B")
"""The same on dark ground."""
SUPERACTIVATOR, SUPERACTIVATOR_ON_LIGHT = "#32FF32", "#00A000"
"""Lime: on pictures with a dark hairline, and where white is behind it."""
TRUTH = "#FFD400"
HAIRLINE = "#101010"
STEPS = 20
"""Steps of a quantised scale on each side of 0."""


def step_of(score: float, limit: float) -> int:
    """The step of a score on a scale from -limit to limit: -STEPS to STEPS, 0 for limit 0."""
    if not limit > 0:
        return 0
    return round(max(-1.0, min(1.0, score / limit)) * STEPS)


def colour_of(step: int, stops: tuple[str, ...] = DIVERGING) -> str:
    """The colour of a step, between the nearest stops, as #rrggbb."""
    place = (step + STEPS) / (2 * STEPS) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    share = place - low
    first, second = channels(stops[low]), channels(stops[low + 1])
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(first, second, strict=True))


def ink_on(background: str) -> str:
    """Black or white, whichever is read better on a colour; at least 4.58:1 on any."""
    light = luminance(background)
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#FFFFFF"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2: 0 for black, 1 for white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of #rrggbb, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
