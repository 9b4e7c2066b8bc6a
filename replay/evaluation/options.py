"""Option consistency (paper, App. B.3): does the attribution point at the option that was chosen?

An options file names each question's options; which one the model chose is parsed from its
response. Knows no label and no truth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import msgspec
import numpy as np

from omnitrace.arrays import Bool, Float64
from omnitrace.errors import SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from replay.attribution import Attribution, Span
from replay.evaluation.rows import Rows, read_rows
from replay.evaluation.space import prompt_sentences
from replay.stats import Estimate, pooled


class AnswerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of one question, as their texts in the prompt or as text ids (of its sentences).

    `chosen`: the index of the model's choice, where it need not be parsed; `answer`: that of the
    right one, which consistency does not need.
    """

    id: str
    options: tuple[str | int, ...]
    chosen: int | None = None
    answer: int | None = None

    def __post_init__(self) -> None:
        legal = range(len(self.options))
        if not 2 <= len(legal) <= len(ascii_uppercase):
            raise ValueError(f"{len(legal)} options; 2 to {len(ascii_uppercase)} are legal")
        for name, index in (("chosen", self.chosen), ("answer", self.answer)):
            if index is not None and index not in legal:
                raise ValueError(f"{name} is {index}; options go from 0 to {len(legal) - 1}")


@dataclass(frozen=True)
class Choice:
    """One question: the option that the model chose, None if its response names none; the mass of
    each option (O,); the option with the largest, None if no one has it alone; whether options
    lie in one source unit, whose mass then counts for none."""

    id: str
    chosen: int | None
    mass: Float64
    attributed: int | None
    shared: bool

    @property
    def consistent(self) -> bool:
        """The paper's 1[õ = ô]; an attribution that prefers no option is not consistent."""
        return self.chosen is not None and self.attributed == self.chosen


def read_options(path: Path) -> Rows[AnswerOptions]:
    """The options of a file of JSON lines; errors as of `read_rows`."""
    return read_rows(path, AnswerOptions)


def choose(attribution: Attribution, trace: Trace, options: AnswerOptions) -> Choice:
    """Mass(S_o) = Σ_{t ∈ T_k} w_t · 1[ŝ(t) ∈ S_o] of each option, and the option that has most.

    App. B.3: T_k are the steps of the span that states the answer, ŝ(t) and w_t the source and the
    vote of a step with all units competing (§3.1), S_o the source units that hold the option's
    text: none that another option shares. The span is the last one in which the chosen option is
    parsed, else the last. SampleError if the prompt lacks an option.
    """
    held, texts = _units_of(attribution, trace, options), _texts(trace, options)
    alone = held & (held.sum(axis=0) == 1)
    chosen = parse_option(trace.response, texts) if options.chosen is None else options.chosen
    mass = np.zeros(len(held))
    if chosen is not None and attribution.spans:
        first, last = _answer_span(attribution, chosen, texts).steps
        unit, vote = attribution.unit[first:last], attribution.vote[first:last]
        mass = alone[:, unit] @ vote.astype(np.float64)
    best = np.flatnonzero(mass == mass.max())
    return Choice(
        id=trace.id,
        chosen=chosen,
        mass=mass,
        attributed=int(best[0]) if len(best) == 1 and mass.max() > 0 else None,
        shared=bool((held.sum(axis=0) > 1).any()),
    )


def consistency(choices: Sequence[Choice]) -> tuple[Estimate, float]:
    """The share of the parsed choices that are consistent, with its interval, and what choosing
    at random would give: the mean of 1 / options (NaN of none)."""
    parsed = [choice for choice in choices if choice.chosen is not None]
    same = np.array([choice.consistent for choice in parsed], np.float64)
    chance = [1 / len(choice.mass) for choice in parsed]
    return pooled(same, np.ones(len(same))), float(np.mean(chance)) if chance else np.nan


def parse_option(response: str, options: Sequence[str]) -> int | None:
    """The index of the option that a response chooses; None if that is not clear.

    In this order: the last letter that is called the answer ("answer: B", "option (C)"), a
    letter at the beginning that stands alone ("B", "(B) …", "B. …"), the last letter in
    parentheses; then the option whose text the response holds, if there is only one such that is
    no part of another. Capital letters only, for "a" is a word; so are A and I before a word in
    small letters that gives no reason.
    """
    letters = ascii_uppercase[: len(options)]
    for pattern in _PATTERNS:
        found = [letter for letter in pattern.findall(response) if letter in letters]
        if found:
            return letters.index(found[-1])
    words = _words(response)
    texts = [_words(_LETTER.sub("", option)) for option in options]
    inside = [i for i, text in enumerate(texts) if text.strip() and text in words]
    longest = [i for i in inside if not any(i != j and texts[i] in texts[j] for j in inside)]
    return longest[0] if len(longest) == 1 else None


_ALONE = r"(?![\w'’])"
_REASONS = r"(?:because|since|as|and|for|due|based)\b"
_CAPITAL = rf"\(?([B-HJ-Z]{_ALONE}|[AI]{_ALONE}(?!\s+(?!{_REASONS})[a-z]))"
_PATTERNS = (
    re.compile(rf"\b(?i:answer|option|choice)\b(?:\s+is)?[\s:*\"“]*{_CAPITAL}"),
    re.compile(rf"\A[\s*\"“]*{_CAPITAL}"),
    re.compile(r"\(([A-Z])\)"),
)
_LETTER = re.compile(r"\A\s*\(?[A-Z][).:]\s*")


def _words(text: str) -> str:
    """Words alone, in small letters, one space around each, so that only whole words are found."""
    words = " ".join(re.findall(r"\w+", text.casefold()))
    return f" {words} "


def _texts(trace: Trace, options: AnswerOptions) -> list[str]:
    """The options' words; SampleError if there is no text of that id."""
    texts = prompt_sentences(trace)[1]
    for option in options.options:
        if isinstance(option, int) and option not in range(len(texts)):
            raise SampleError(
                f"sample '{trace.id}' has no text {option}; ids go from 0 to {len(texts) - 1}."
            )
    return [o if isinstance(o, str) else texts[o] for o in options.options]


def _answer_span(attribution: Attribution, chosen: int, texts: Sequence[str]) -> Span:
    """C_k: the last span that states the choice, else the last that is not blank."""
    stating = [s for s in attribution.spans if parse_option(s.text, texts) == chosen]
    return (stating or [s for s in attribution.spans if s.text] or list(attribution.spans))[-1]


def _units_of(attribution: Attribution, trace: Trace, options: AnswerOptions) -> Bool:
    """(O, m+1) bool: the units that hold any of each option; the last column is of no unit."""
    units = attribution.units
    owner = units.owner_of_tokens(trace.n)  # -1, no unit, is the last column
    held = np.zeros((len(options.options), len(units) + 1), np.bool_)
    for row, tokens in zip(held, _tokens_of(trace, options), strict=True):
        row[owner[tokens]] = True
    held[:, -1] = False
    return held


def _tokens_of(trace: Trace, options: AnswerOptions) -> list[Bool]:
    """(n,) bool each: the tokens of the options. Texts are looked up from the prompt's end, each
    before the one after it, for the same words may stand in the question."""
    of_token, _ = prompt_sentences(trace)
    line, before, found = trace.timeline, len(trace.prompt_text), list[Bool]()
    for option in reversed(options.options):
        if isinstance(option, int):
            found.append(of_token == option)
            continue
        start = trace.prompt_text.rfind(option, 0, before)
        if start < 0 or not option:
            raise SampleError(
                f"sample '{trace.id}': its prompt does not hold the option '{one_line(option)}', "
                "or not in the order of the others."
            )
        words = (line.chars[:, 0] < start + len(option)) & (line.chars[:, 1] > start)
        found.append(words & (line.modality == Modality.TEXT))
        before = start
    return found[::-1]
