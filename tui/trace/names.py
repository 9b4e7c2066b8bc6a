"""The names of things in a prompt on the screen: units, media, single tokens, numbers."""

from __future__ import annotations

import numpy as np

from omnitrace import Trace
from omnitrace.timeline import Medium, Modality
from omnitrace.units import Units
from tui.draw.layout import clip, visible


def number(mass: float) -> str:
    """A mass in six cells; the smallest keep their first digit."""
    return f"{mass:6.3f}" if mass >= 0.001 or mass <= 0 else f"{mass:6.0e}"


def name(units: Units, unit: int, cells: int) -> str:
    """A unit for people, in at most `cells` cells: its label, and its words where it has any."""
    words = units.text[unit]
    return clip(f"{units.label[unit]} “{words}”" if words else units.label[unit], cells)


def describe(medium: Medium) -> str:
    """A medium in one line: kind, name, seconds, pixels."""
    seconds = f"{medium.duration_s:g} s" if medium.duration_s is not None else ""
    pixels = f"{medium.width}×{medium.height}" if medium.width and medium.height else ""
    return ", ".join(filter(None, (f"{medium.kind} {medium.name}", seconds, pixels)))


def token_name(trace: Trace, token: int) -> str:
    """A prompt token: its words as `spell` has them, or its seconds and patch in its medium."""
    line = trace.timeline
    start, end = line.chars[token].tolist()
    if start < end:
        return f"“{spell(trace.prompt_text[start:end])}”"
    if line.modality[token] == Modality.SPECIAL:
        return f"#{token}"
    where = [Modality(int(line.modality[token])).label]
    if not np.isnan(line.start_s[token]):
        where.append(f"{line.start_s[token]:.4g}s")
    if line.row[token] >= 0:
        where.append(f"({line.row[token]},{line.column[token]})")
    return " ".join(where)


def spell(text: str) -> str:
    """A token with visible white space, and code points for what cannot be shown."""
    known = {" ": "␣", "\n": "↵", "\t": "⇥"}
    return "".join(
        known.get(c) or (c if visible(c) == c else f"‹U+{ord(c):04X}›") for c in text[:80]
    )
