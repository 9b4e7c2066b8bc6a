"""The style of figures, and figures as SVG or PNG. The only place that imports matplotlib.

Knows results only by their `draw`. Nothing is drawn on a screen: figures are made without pyplot.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError, extra
from replay.analyses.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = {
    "text": "#56b4e9",
    "image": "#d977b0",
    "audio": "#e69f00",
    "video": "#14b886",
    "special": "#9a9a9a",
}
"""One hue per modality, which colour-blind readers can distinguish too; the browser's."""
ACCENT, QUIET = "#3a6ea5", "#9aa0a6"
INK, LINE = "#24292f", "#d8dce0"
"""The colours of text and of the grid; a page may put its own in their place (`inline_svg`)."""
SIZE = (5.4, 3.5)
FORMATS = ("svg", "png")

_STYLE: dict[str, Any] = {
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlecolor": INK,
    "figure.constrained_layout.use": True,
    "figure.figsize": SIZE,
    "font.size": 9.5,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_METADATA = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)


def save(result: Result, path: Path) -> None:
    """Write the figure of `result`, SVG or PNG by the name's suffix; completely or not at all.

    CommandError for another suffix or without matplotlib, OmniTraceError if it cannot be written.
    """
    kind = check_format(path)
    data = render(result, kind)
    with atomic_write(path, OmniTraceError, "the figure ") as temporary:
        temporary.write_bytes(data)


def check_format(path: Path) -> str:
    """The figure format that a file's name has; CommandError naming the legal ones."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise CommandError(f"a figure ends in .svg or .png, '{path.name}' does not.")
    return kind


def render(result: Result, kind: str) -> bytes:
    """The figure of `result` as the bytes of an SVG or PNG file, the same for the same result."""
    with _style(type(result).__name__):
        from matplotlib.figure import Figure

        figure = Figure()
        result.draw(figure)
        written = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(written, format=kind, transparent=kind == "svg", metadata=metadata)
    return written.getvalue()


def inline_svg(result: Result) -> str:
    """The figure as an `<svg>` element for a page: its text takes the page's colours."""
    whole = render(result, "svg").decode("utf-8")
    element = _METADATA.sub("", whole[whole.index("<svg") :])
    element = _FONT.sub("system-ui, sans-serif", element)
    element = element.replace(INK, "currentColor").replace(LINE, "var(--line)")
    prefix = type(result).__name__.lower()
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", element)


def share_axes(axes: Axes, x: str, y: str) -> None:
    """Two axes from 0 to 1, with their names."""
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=x, ylabel=y)


def new_axes(figure: Figure, title: str) -> Axes:
    """The one pair of axes of a figure."""
    return figure.subplots(1, 1, subplot_kw={"title": title})


@contextmanager
def _style(salt: str) -> Iterator[None]:
    with extra("report", "figures need"):
        import matplotlib
    style: Any = {**_STYLE, "svg.hashsalt": salt}
    with matplotlib.rc_context(style):
        yield
