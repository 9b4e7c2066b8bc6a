"""Which prompt tokens carry no mass, and what is taken off the scores of the others.

Attention sinks inside the text get scores at every step, whatever the step needs; so do blanks and
punctuation. Knows rows and units; no unit's mass and no span.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from omnitrace.arrays import Bool, Float32, Float64
from omnitrace.errors import CommandError
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.config import ScoreStage, TokenConfig
from replay.rows import Rows, rows_of

ACTIVATION = "activation"
"""The recorded array (n,) that `TokenConfig.activation` reads."""
_MARKER = re.compile(r"\s*(<[|/]?[^\s<>]+>|\[/?[A-Z_]{2,}\])\s*")


def dropped_tokens(trace: Trace, units: Units, scores: ScoreStage, tokens: TokenConfig) -> Bool:
    """(n,) bool: the prompt tokens that carry no mass under `tokens`.

    Of the tokens that lie in `units`: those without a letter or digit, markers, those of massive
    activation; then, of the rest, those of the largest usual scores. Reads scores only for these.
    A token of a medium has no characters, and is neither wordless nor a marker.
    CommandError if what a filter needs was not recorded.
    """
    inside = units.owner_of_tokens(trace.n) >= 0
    dropped = np.zeros(trace.n, np.bool_)
    if tokens.wordless == "drop":
        dropped |= wordless(trace)
    if tokens.markers == "drop":
        dropped |= markers(trace)
    if tokens.activation:
        dropped |= _activation(trace) > tokens.activation
    dropped &= inside
    if tokens.heaviest or tokens.outliers:
        usual = usual_scores(rows_of(trace, scores), tokens.quantile)
        dropped |= heavy(usual, inside & ~dropped, tokens.heaviest, tokens.outliers)
    return dropped


def reads_scores(tokens: TokenConfig) -> bool:
    """Whether a filter or a subtraction needs the scores of single tokens."""
    filters = tokens.wordless, tokens.markers
    numbers = tokens.heaviest, tokens.outliers, tokens.activation
    return "drop" in filters or any(numbers) or tokens.baseline != "none" or bool(tokens.prior)


def wordless(trace: Trace) -> Bool:
    """(n,) bool: the tokens of text whose characters hold no letter or digit of any script.

    A token without characters of its own, such as the first bytes of a character, is none.
    """
    return _of_text(trace, lambda text: bool(text) and not any(map(str.isalnum, text)))


def markers(trace: Trace) -> Bool:
    """(n,) bool: the tokens of a text part that the model reads as a marker, such as <|im_end|>,
    [INST] or <image>, and all that the timeline calls special."""
    special = trace.timeline.modality == Modality.SPECIAL
    found: Bool = special | _of_text(trace, lambda text: _MARKER.fullmatch(text) is not None)
    return found


def heavy(usual: Float32, among: Bool, heaviest: int, outliers: float) -> Bool:
    """(n,) bool: of the tokens `among`, the `heaviest` ones by `usual` (n,), ties to the first, and
    those over `outliers` times the median of those that have any; 0: none."""
    found = np.zeros(len(usual), np.bool_)
    places = np.flatnonzero(among & (usual > 0))
    order = places[np.argsort(-usual[places], kind="stable")]
    found[order[:heaviest]] = True
    if outliers and len(places):
        found[places] |= usual[places] > outliers * np.median(usual[places])
    return found


def usual_scores(rows: Rows, quantile: float) -> Float32:
    """(n,) float32: the score that each prompt token has, or has less than, in that share of the
    steps (the lower of two); zeros without steps.

    A low quantile tells a token that every step looks at from one that some steps need: the mean
    of a short response is as large for its evidence.
    """
    if not rows.T:
        return np.zeros(rows.n, np.float32)
    scores = np.stack([rows.values[start : start + rows.n] for start in rows.starts.tolist()])
    place = int(quantile * (rows.T - 1))
    lowest: Float32 = np.partition(scores, place, axis=0)[place]
    return lowest


def mean_scores(rows: Rows) -> Float64:
    """(n,) float64: each prompt token's mean score over the steps; zeros without steps."""
    total = np.zeros(rows.n)
    for start in rows.starts.tolist():
        total += rows.values[start : start + rows.n]
    return total / max(1, rows.T)


def without(rows: Rows, dropped: Bool) -> Rows:
    """The rows with 0 for the tokens `dropped` (n,); the same rows if there are none."""
    tokens = np.flatnonzero(dropped)
    if not len(tokens):
        return rows
    values = rows.values.copy()
    values[rows.starts[:, None] + tokens] = 0
    return replace(rows, values=values)


def less(rows: Rows, usual: Float32 | Float64) -> Rows:
    """The rows with `usual` (n,) subtracted from every step's scores of prompt tokens, cut at 0."""
    values, taken = rows.values.copy(), usual.astype(np.float32, copy=False)
    for start in rows.starts.tolist():
        part = values[start : start + rows.n]
        np.maximum(part - taken, 0, out=part)
    return replace(rows, values=values)


def over(rows: Rows, usual: Float64) -> Rows:
    """The rows with every step's scores of prompt tokens divided by `usual` (n,), 0 where it is 0;
    the scores of earlier steps by the mean of `usual`, so that they stay comparable."""
    factor = np.divide(1.0, usual, out=np.zeros(rows.n), where=usual > 0).astype(np.float32)
    known = usual[usual > 0]
    rest = np.float32(1 / known.mean()) if len(known) else np.float32(0)
    values = rows.values * rest
    for start in rows.starts.tolist():
        part = slice(start, start + rows.n)
        values[part] = rows.values[part] * factor
    return replace(rows, values=values)


def held(rows: Rows, tokens: Bool) -> Float64:
    """(T,) float64: what the prompt tokens `tokens` (n,) hold of each step's scores."""
    places = np.flatnonzero(tokens)
    total: Float64 = rows.values[rows.starts[:, None] + places].sum(axis=1, dtype=np.float64)
    return total


def _of_text(trace: Trace, is_one: Callable[[str], bool]) -> Bool:
    """(n,) bool: the tokens of text of which `is_one` is true."""
    line, found = trace.timeline, np.zeros(trace.n, np.bool_)
    for token in np.flatnonzero(line.modality == Modality.TEXT).tolist():
        start, end = line.chars[token].tolist()
        found[token] = is_one(trace.prompt_text[start:end])
    return found


def _activation(trace: Trace) -> Float32:
    if ACTIVATION not in trace.arrays:
        raise CommandError(
            f"sample '{trace.id}': the activation of its prompt tokens was not recorded; record it "
            "again, or replay with tokens.activation = 0."
        )
    return trace.arrays[ACTIVATION]
