"""The answer span by span, with the sources by several methods side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import work
from textual.binding import Binding, BindingType

from replay import Attribution
from replay.methods.compare import Disagreement
from tui.draw.colours import LETTERS, Palette
from tui.draw.layout import clip
from tui.draw.lines import Piece
from tui.draw.table import Table
from tui.readings.base import Reading
from tui.readings.causal import CausalResult, causal_result, explanation
from tui.readings.columns import AGREED, DIFFERS, Compared, Entry, SideTable, SpanRow, side_table
from tui.session import Session
from tui.status import StatusLine
from tui.trace.state import Answer
from tui.trace.target import Target

NO_COMPARISON = (
    "Nothing to compare with: press b for another preset, start with --labels, or record what the "
    "cause is (omnitrace ablate-inputs)."
)
NO_ABLATIONS = "No ablations of this sample are recorded: see omnitrace ablate-inputs."
TITLES, TEXT = -2, -1
_EMPTY = SideTable((), ())
_LEAST = 9  # cells that a source's name has beside the reasons


class Line(NamedTuple):
    """A row of the table: the titles, a span's text, or the `entry`-th sources of every column."""

    span: SpanRow
    entry: int


class Computed(NamedTuple):
    """The causes of an attribution by a method; `result` None: no method, or no ablations."""

    attribution: Attribution
    method: str | None
    result: CausalResult | None


class SideBySide(Reading, inherit_bindings=False):
    """Each span with its sources in every column; the causes are added when they are computed."""

    NAME, KEY, LABEL, WIDE = "side-by-side", "3", "Side by side", True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order", "Disagreements first", show=False),
        Binding("a", "method", "Another cause", show=False),
        *Table.BINDINGS,
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._answer: Answer | None = None
        self._computed: Computed | None = None
        self._table = _EMPTY
        self._worst_first = False
        self._lines: list[Line] = []

    def show_answer(self, answer: Answer) -> None:
        session, self._answer = self.session, answer
        if self._computed and self._computed.attribution is not answer.attribution:
            self._computed = None
        known = self._computed
        causal = known.result if known else None
        other = (session.baseline or "", answer.other) if answer.other else None
        compared = Compared(answer.opened.trace, answer.attribution, other, answer.gold, causal)
        self._table = side_table(compared)
        self._arrange(self.cursor)
        if known is None or known.method != session.causal_method:
            self._compute(answer, session.causal_method)
        elif causal is not None and causal.error:
            self._show_status(f"{causal.method}: {causal.error} (a asks another method)", True)
        elif compared.alone:
            self._show_absence(NO_COMPARISON)

    def show_message(self, text: str, wrong: bool = False) -> None:
        self._answer, self._table, self._lines = None, _EMPTY, []
        super().show_message(text, wrong)

    def target(self, row: int) -> Target | None:
        """The first step of a row's span, and why signal and cause disagree in the row."""
        if self._answer is None or not 0 <= row < len(self._lines):
            return None
        span, at = self._lines[row]
        causal, status = self._computed.result if self._computed else None, None
        if causal is not None and not causal.error:
            entries = [column[at] for column in span.columns if 0 <= at < len(column)]
            status = " · ".join(
                f"{entry.text} · {explanation(entry.disagreement, causal.method)}"
                for entry in entries
                if entry.disagreement
            )
        return Target(step=self._answer.attribution.spans[span.k].steps[0], status=status)

    def action_order(self) -> None:
        """Disagreements first, or in the order of the answer."""
        self._worst_first = not self._worst_first
        self._arrange(0)

    def action_method(self) -> None:
        """Compute the causes by the next method, where ablations were recorded."""
        known = self._computed
        if known is not None and known.method is not None and known.result is None:
            self._show_absence(NO_ABLATIONS)
            return
        self.session.next_causal_method()
        method = self.session.causal_method
        self._show_status(f"the cause by {method}" if method else "without the cause")
        if self._answer is not None:
            self.show_answer(self._answer)

    @work(thread=True, exclusive=True, group="causes", description="causes")
    def _compute(self, answer: Answer, method: str | None) -> None:
        result = causal_result(answer.attribution, answer.opened.replayer, method)
        self.call_later(self._show_causes, Computed(answer.attribution, method, result))

    def _show_causes(self, computed: Computed) -> None:
        answer = self._answer
        current = answer is not None and computed.attribution is answer.attribution
        if answer is not None and current and computed.method == self.session.causal_method:
            self._computed = computed
            if self.display:
                self.show_answer(answer)

    def _show_status(self, text: str, wrong: bool = False) -> None:
        self.screen.query_one(StatusLine).show_status(text, wrong)

    def _show_absence(self, text: str) -> None:
        """Say that there are no causes, or which part of the run cannot be read."""
        damage = "  ".join(self.session.run.damage)
        self._show_status(damage or text, wrong=bool(damage))

    def _arrange(self, cursor: int) -> None:
        spans = self._table.spans
        if self._worst_first:
            spans = tuple(sorted(spans, key=lambda span: -span.differing))
        self._lines = [Line(spans[0], TITLES)] if spans else []
        for span in spans:
            entries = max([1, *(len(column) for column in span.columns)])
            self._lines += (Line(span, at) for at in range(TEXT, entries))
        differing = sum(span.differing > 0 for span in spans)
        order = "disagreements first" if self._worst_first else "in order"
        self.border_title = (
            f"side by side · {differing} of {len(spans)} spans disagree · {order} (o)"
        )
        self.fill(len(self._lines), cursor)

    def draw_item(self, row: int, width: int) -> Iterable[Piece]:
        line, palette = self._lines[row], self.palette
        here = row == self.cursor and self.has_focus
        style = palette.chosen if here else palette.strong
        cells = (width - 5) // max(1, len(line.span.columns))
        if line.entry == TITLES:
            yield "     ", palette.dim
            titles = (_title(title, cells - 1) for title in self._table.titles)
            yield from ((title.ljust(cells), palette.dim) for title in titles)
            return
        if line.entry == TEXT:
            mark, ink = ("≠", palette.error) if line.span.differing else (" ", palette.dim)
            yield f"{mark}{line.span.k + 1:>3} ", ink
            yield clip(line.span.text, width - 6).ljust(width), style
            return
        yield "   ▸ " if here else "     ", palette.strong
        for entries in line.span.columns:
            yield from _entry(entries, line.entry, cells, palette)


def _entry(entries: tuple[Entry, ...], at: int, cells: int, palette: Palette) -> Iterable[Piece]:
    """The `at`-th source of a column in `cells` cells; a column without any says so."""
    if at >= len(entries):
        yield ("nothing" if at == 0 else "").ljust(cells), palette.dim
        return
    entry = entries[at]
    styles = {AGREED: palette.strong, DIFFERS: palette.error}
    yield f"{entry.sign} ", styles.get(entry.sign, palette.dim)
    if entry.modality is not None:
        yield f"{LETTERS[entry.modality]} ", palette.ink[entry.modality]
    room = cells - 5 + 2 * (entry.modality is None)
    why = " " + _why(entry.disagreement, room - _LEAST) if entry.disagreement else ""
    text = clip(entry.text, room - cell_len(why))
    yield text, palette.plain
    yield why, palette.dim
    yield " " * (room + 1 - cell_len(text) - cell_len(why)), palette.plain


def _why(disagreement: Disagreement, cells: int) -> str:
    """`≠` and the reasons; without them where there is no room."""
    reasons = ", ".join(disagreement.reasons)
    return clip(f"≠ {reasons}", cells) if reasons and cells > _LEAST else "≠"


def _title(title: str, cells: int) -> str:
    """The title of a column, or where there is no room the part that the others lack."""
    short = " ".join(title.replace("because of", "").strip(" ,").split())
    return title if len(title) <= cells or not short else clip(short, cells)
