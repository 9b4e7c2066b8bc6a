"""Units that a user defined: a JSON-lines file, checked strictly, and the tokens that it means.

The only file that the cutting of units reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import Struct

from omnitrace.arrays import Bool
from omnitrace.errors import CommandError, SampleError
from omnitrace.kept import parsed_file
from omnitrace.prompt import Prompt
from omnitrace.text import safe_text
from omnitrace.timeline import Modality, Part
from omnitrace.units.data import Cut, Kind
from omnitrace.units.media import FUZZ, patches_of
from omnitrace.units.text import places, text_tokens


class UserUnit(Struct, frozen=True, forbid_unknown_fields=True):
    """One unit: its label, and what it is. Parts are numbered from 0.

    That is an exact quote (`text`, with `part` where several have it), the seconds from `start_s`
    to `end_s` of a medium's part, a `box` (x0, y0, x1, y1 as fractions) of an image's part, or a
    whole `part`.
    """

    label: str
    text: str | None = None
    part: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    box: tuple[float, float, float, float] | None = None


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    units: tuple[UserUnit, ...]


@dataclass(frozen=True)
class Defined:
    """The units of one sample; `where`: the file and line that define them."""

    where: str
    units: tuple[UserUnit, ...] = ()


def defined_units(prompt: Prompt, file: str) -> Defined:
    """What `file` defines for this sample; CommandError naming the line if the file cannot be read,
    SampleError if it has no line for the sample."""
    lines = parsed_file(file, "units", _parse)
    if prompt.id not in lines:
        raise SampleError(
            f"sample '{prompt.id}' has no line in {file}; a line with \"units\": [] leaves it as "
            "the other keys say."
        )
    return lines[prompt.id]


def _parse(file: str, content: bytes) -> Mapping[str, Defined]:
    """Sample id → its units."""
    found: dict[str, Defined] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            parsed = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CommandError(f"{where}: {safe_text(str(error))}.") from error
        id = safe_text(parsed.id)
        if id in found:
            raise CommandError(f"{where}: sample '{id}' was defined before; give each one line.")
        found[id] = Defined(where, tuple(_safe(unit) for unit in parsed.units))
    return found


def _safe(unit: UserUnit) -> UserUnit:
    quote = None if unit.text is None else safe_text(unit.text)
    return msgspec.structs.replace(unit, label=safe_text(unit.label), text=quote)


def cut_user(cut: Cut, prompt: Prompt, defined: Defined) -> None:
    """Give the parts that the user cut their units and no others; CommandError naming the unit
    that means nothing, no token, or tokens of another."""
    tokens = [_checked(prompt, defined, index) for index in range(len(defined.units))]
    line = prompt.timeline
    for own in tokens:
        cut.drop(np.isin(line.part, np.unique(line.part[own])) & (line.part >= 0))
    for index, (unit, own) in enumerate(zip(defined.units, tokens, strict=True)):
        _check_apart(cut, own, defined, index)
        count = int(own.sum())
        cut.put(own, Kind.USER, np.zeros(count, np.int32), np.full(count, index))
        if unit.start_s is not None:
            cut.start_s[own], cut.end_s[own] = unit.start_s, unit.end_s


def _checked(prompt: Prompt, defined: Defined, index: int) -> Bool:
    """(n,): the tokens of one unit."""
    unit = defined.units[index]
    try:
        if unit.label in [other.label for other in defined.units[:index]]:
            raise ValueError("that label is taken")
        tokens = _tokens(prompt, unit)
        if not tokens.any():
            raise ValueError("it holds no token of the prompt")
    except ValueError as error:
        raise CommandError(f"{defined.where}: unit {index} '{unit.label}': {error}.") from error
    return tokens


def _check_apart(cut: Cut, own: Bool, defined: Defined, index: int) -> None:
    taken = np.flatnonzero(own & (cut.kind == Kind.USER))
    if taken.size:
        first = defined.units[int(cut.cell[taken[0]])].label
        raise CommandError(
            f"{defined.where}: unit {index} '{defined.units[index].label}': it holds tokens of "
            f"'{first}'; units must not overlap."
        )


def _tokens(prompt: Prompt, unit: UserUnit) -> Bool:
    """(n,): the tokens that a unit means; ValueError saying what is wrong with it."""
    timed = unit.start_s is not None or unit.end_s is not None
    if (unit.text is not None) + timed + (unit.box is not None) > 1:
        raise ValueError("text, start_s and end_s, and box exclude one another")
    if unit.text is not None:
        return _quoted(prompt, unit.text, unit.part)
    whole: Bool = prompt.timeline.part == _part(prompt.parts, unit.part)
    if timed:
        whole = whole & _within(prompt, whole, unit)
    elif unit.box is not None:
        whole = whole & _boxed(prompt, whole, unit.box)
    return whole


def _part(parts: Sequence[Part], part: int | None) -> int:
    if part is None:
        raise ValueError("give the part that it is of, or a text")
    if not 0 <= part < len(parts):
        raise ValueError(f"part {part} does not exist; legal: 0 to {len(parts) - 1}")
    return part


def _quoted(prompt: Prompt, quote: str, part: int | None) -> Bool:
    line, tokens = prompt.timeline, text_tokens(prompt)
    legal = range(len(prompt.parts)) if part is None else (_part(prompt.parts, part),)
    found: list[tuple[int, int]] = []
    for index in legal:
        chars = line.chars[tokens & (line.part == index)]
        if len(chars):
            low, high = int(chars[:, 0].min()), int(chars[:, 1].max())
            found += [(index, at) for at in _places_of(prompt.prompt_text, quote, low, high)]
    if len(found) != 1:
        where = "the texts" if part is None else f"part {part}"
        if not found:
            raise ValueError(f"its text stands nowhere in {where}")
        raise ValueError(f"its text stands {len(found)} times in {where}; quote more of it")
    [(index, at)] = found
    position = places(prompt)
    inside: Bool = tokens & (line.part == index) & (position >= at) & (position < at + len(quote))
    return inside


def _places_of(text: str, quote: str, low: int, high: int) -> list[int]:
    if not quote.strip():
        raise ValueError("its text is blank")
    found, at = [], text.find(quote, low, high)
    while at >= 0:
        found.append(at)
        at = text.find(quote, at + 1, high)
    return found


def _within(prompt: Prompt, whole: Bool, unit: UserUnit) -> Bool:
    line, start, end = prompt.timeline, unit.start_s, unit.end_s
    if start is None or end is None or not 0 <= start < end:
        raise ValueError("give both start_s and end_s, 0 <= start_s < end_s")
    if np.isnan(line.start_s[whole]).any():
        raise ValueError("its part has no time")
    middle = (line.start_s + line.end_s) / 2
    inside: Bool = (middle >= start - FUZZ) & (middle < end - FUZZ)
    return inside


def _boxed(prompt: Prompt, whole: Bool, box: tuple[float, float, float, float]) -> Bool:
    """The patches whose centre lies in the box."""
    line, (x0, y0, x1, y1) = prompt.timeline, box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError("a box is [x0, y0, x1, y1], fractions from 0 to 1 with x0 < x1, y0 < y1")
    if (line.modality[whole] != Modality.IMAGE).any():
        raise ValueError("a box is of an image's part")
    inside = np.zeros(prompt.n, np.bool_)
    rows, columns = (size[line.medium[whole]] for size in patches_of(prompt))
    y, x = (line.row[whole] + 0.5) / rows, (line.column[whole] + 0.5) / columns
    inside[whole] = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return inside
