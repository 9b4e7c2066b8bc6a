"""A view as a file or as text: a screenshot (SVG), a page (HTML), data (JSON), words (TXT).

Each kind is one function in `KINDS`. All text is made safe: escaped for a page, without control
characters elsewhere. Knows attributions and colours; writes no file.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from rich.style import Style

from omnitrace import CommandError
from omnitrace.text import one_line, safe_text
from omnitrace.timeline import Modality
from replay import Attribution, Span
from replay.output import to_json
from tui.draw.colours import LETTERS, Palette
from tui.trace.names import name
from tui.trace.response import StyledResponse

_NAME_CELLS = 200


@dataclass(frozen=True)
class View:
    """The input of an export: an attribution with its styled response, in the colours of a theme;
    `screenshot` draws the screen as SVG."""

    attribution: Attribution
    response: StyledResponse
    palette: Palette
    screenshot: Callable[[], str]


def export_view(view: View, file_name: str) -> str:
    """The view as the kind of file of the name's ending; CommandError if there is none such."""
    ending = file_name.rsplit(".", 1)[-1].lower() if "." in file_name else ""
    if ending not in KINDS:
        raise CommandError(f"end the name in one of .{', .'.join(KINDS)}.")
    return KINDS[ending](view)


def as_text(view: View) -> str:
    """The answer span by span, with its kept and dropped sources, and the rules that dropped."""
    return "\n".join(_lines(view.attribution)) + "\n"


def span_text(attribution: Attribution, k: int) -> str:
    """One span in the same form."""
    return "\n".join(_span_lines(attribution, k, attribution.spans[k])) + "\n"


def link(run: str, sample: str, step: int) -> str:
    """The command that opens a sample at a step, from 0."""
    path, id = (shlex.quote(safe_text(part)) for part in (run, sample))
    return f"omnitrace browse {path} --sample {id} --step {step + 1}"


def as_json(view: View) -> str:
    """The attribution, schema omnitrace.attribution/1, as `omnitrace replay --json` prints it."""
    return json.dumps(to_json([view.attribution], view.attribution.config), indent=1) + "\n"


def as_page(view: View) -> str:
    """One HTML page, without scripts and without external resources."""
    palette, title = view.palette, escape(one_line(view.attribution.id, 80))
    colours = f"background:{palette.page.hex};color:{_hex(palette.plain)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{" + colours + ";font:16px/1.7 system-ui,sans-serif;max-width:46em;"
        "margin:2em auto;padding:0 1em}h1{font-size:1.1em}p{margin:1em 0 0}"
        "i{font-style:normal;border-radius:3px;padding:1px 0}small{opacity:.75;display:block}"
        "</style>"
        f"<h1>{title}</h1>{''.join(_page_spans(view))}</html>\n"
    )


KINDS: dict[str, Callable[[View], str]] = {
    "svg": lambda view: view.screenshot(),
    "html": as_page,
    "json": as_json,
    "txt": as_text,
}


def _lines(attribution: Attribution) -> Iterator[str]:
    yield safe_text(attribution.id)
    for k, span in enumerate(attribution.spans):
        yield ""
        yield from _span_lines(attribution, k, span)


def _span_lines(attribution: Attribution, k: int, span: Span) -> Iterator[str]:
    units = attribution.units
    part = "thinking: " if span.thinking else ""
    yield f"{k + 1}. {part}{' '.join(safe_text(span.text).split())}"
    for source in span.sources:
        yield f"   ✓ {source.mass:4.2f} {name(units, source.unit, _NAME_CELLS)}"
    for dropped in span.dropped:
        yield f"   ✗ {dropped.mass:4.2f} {name(units, dropped.unit, _NAME_CELLS)} ({dropped.rule})"


def _page_spans(view: View) -> Iterator[str]:
    attribution = view.attribution
    kinds, units = attribution.units.modality, attribution.units
    for k, span in enumerate(attribution.spans):
        sources = ", ".join(
            f"{LETTERS[Modality(int(kinds[s.unit]))]} {escape(name(units, s.unit, _NAME_CELLS))} "
            f"{s.mass:.2f}"
            for s in span.sources
        )
        tokens = "".join(_page_tokens(view, *span.steps))
        number = f"{k + 1} thinking" if span.thinking else f"{k + 1}"
        yield f"<p>{tokens}<small>{number} ↳ {sources or 'no source kept'}</small></p>"


def _page_tokens(view: View, first: int, last: int) -> Iterator[str]:
    response, units, shown = view.response, view.attribution.units, view.response.shown
    owners = shown.step
    inside = np.flatnonzero((owners >= first) & (owners < last))
    for step in range(first, last):
        at = inside[owners[inside] == step]
        text = escape("".join(shown.text[i] for i in at))
        unit = int(response.unit[step])
        style = view.palette.token[response.modality[step]][int(response.level[step])]
        title = escape(name(units, unit, _NAME_CELLS)) if unit >= 0 else ""
        yield (
            f'<i style="background:{_hex(style, True)};color:{_hex(style)}" title="{title}">'
            f"{text}</i>"
        )


def _hex(style: Style, ground: bool = False) -> str:
    colour = style.bgcolor if ground else style.color
    assert colour is not None
    return colour.get_truecolor().hex
