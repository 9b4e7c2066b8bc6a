"""Sentences of a text in the style of chat models: Markdown, lists, code, many languages.

Rules find where sentences end within passages; a pipeline that was trained to may add where it
begins sentences, and is asked where the rules cannot know. Knows characters alone.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from omnitrace.abbreviations import (
    AFTER_ORDINAL,
    ALSO_WORDS,
    BEFORE_LETTER,
    BEFORE_NUMBER,
    NEVER,
    NUMBERED,
    OFTEN_LAST,
    STARTERS,
    USUALLY_WITHIN,
)
from omnitrace.arrays import Int32
from omnitrace.markdown import Range
from omnitrace.passages import Passage, passages

_EMOJI = (
    "(?:[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff]"
    "[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]*(?:\u200d[^\\s\\w][\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]*)*)"
)
_EAST = "。｡！？"
_SPACED = "!?؟۔।॥։።။។๚๛\u037e"
_CLOSING = "”’»」』）》】\"')\\]}*_~`"
_NOTES = r"(?:\[\^?[\d][^\]\n]{0,12}\]|\[\^[^\]\s]{1,20}\]|[¹²³⁰-⁹]{1,3})"
_AFTER = rf"[{_CLOSING}]*(?:[^\S\n]?»)?{_NOTES}*(?:[^\S\n]?{_EMOJI})*"
_GREEK_QUESTION = "(?<=[\u0370-\u03ff\u1f00-\u1fff]);"
_STOP = re.compile(
    rf"(?P<stop>[.…{_SPACED}{_EAST}]*[.…{_SPACED}]|{_GREEK_QUESTION})(?P<close>{_AFTER})\s+|"
    rf"(?P<east>[….]*[{_EAST}]+[….]*[\u200d\ufe0e\ufe0f]*)(?P<eastclose>{_AFTER})\s*"
    rf"|(?P<dots>……)(?P<dotsclose>{_AFTER})\s*"
    rf"|(?<=\w )(?P<face>{_EMOJI}+)\s+"
)
_WITHIN = re.compile(
    r"(?P<ticks>`+)(?!`)[^`]{1,500}(?P=ticks)(?!`)"
    r"|\$\$[^$]{1,2000}\$\$|\\\[.{1,2000}?\\\]|\\\(.{1,500}?\\\)"
    r"|\$(?![\s$])[^$\n]{1,200}?(?<!\s)\$(?!\d)"
    r"|!?\[[^\[\]\n]{0,300}\]\([^()\s]{0,1000}(?:\s\"[^\"\n]{0,200}\")?\)",
    re.DOTALL,
)
_BRACKETS = re.compile(r"\([^()]{1,400}\)|（[^（）]{1,400}）")
_DISPLAY = re.compile(
    r"\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]|\\begin\{(\w{1,20}\*?)\}.{1,2000}?\\end\{\1\}",
    re.DOTALL,
)
_MARKER = r"(?:[-+*•–—>]|#{1,6}(?!#)|\(?\d{1,9}[.)]|\(?[A-Za-z][.)]|\[[ xX]?\])"
_MARKERS = re.compile(rf"(?:{_MARKER}\s+)*")
_BARE_MARKER = re.compile(rf"(?:{_MARKER}\s*)+")
_RULE = re.compile(r"(?:\s*[-*_>=]){3,}\s*")
_LEAD = re.compile(r"(?:\*\*|__)(?P<words>[^*_\n]{1,80})(?:\*\*|__)[:.]?")
_NUMBER_FIRST = re.compile(r"(?:[^\W\d_]+\s)?\d{1,3}\b")
_TAGS = re.compile(r"</?\w[^<>]{0,80}>")
_OPENING_TAG = re.compile(r"<\w[^<>]{0,80}>\s*")
_WORD_BEFORE = re.compile(r"[^\s(\[{\"“‘«*_/]*\Z")
_SAID = (
    "added|answered|asked|asks|began|called|cried|explained|laughed|muttered|replied|said|says|"
    "shouted|sighed|snapped|thought|whispered|wrote|yelled"
)
_REPORTS = re.compile(rf"(?:\S+\s+){{0,2}}(?:{_SAID})\b")
_SOURCE = re.compile(r"[>\s]*[—–]\s?\w")
_EAST_REPORTS = re.compile(r"と|って|[^。｡！？，、\s]{0,8}[说說道问問喊叫]")
_OPENING = "\"'“”‘’«»([{（「『《*_~¿¡<„‚"
_ROMAN = re.compile(r"[IVXLC]{1,6}\b|[A-Za-z]{0,2}\d|[A-Z]\b(?!')")
_ACRONYM = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # "u.s", "ph.d"
_STOPPED = re.compile(rf"[.…:{_SPACED}{_EAST}]{_AFTER}\s*\Z")
_LONG = 200
_LONG_WITHOUT_STOP = 100
_NEAR = 80


def sentences_of(text: str) -> Int32:
    """(K, 2) int32: the sentences of `text` by the rules alone."""
    return split(text, passages(text))


def split(text: str, found: list[Passage], begins: frozenset[int] | None = None) -> Int32:
    """(K, 2) int32: half-open character ranges of the sentences of `text`, white space trimmed.

    `found`: its passages. `begins`: the characters at which a trained pipeline begins sentences.
    Every visible character lies in exactly one sentence; no character is cut from its combining
    marks. Marks, rules, fences and emoji without words are part of a neighbour.
    """
    starts: set[int] = set()
    for passage in found:
        starts.add(passage.start)
        if not passage.whole:
            starts.update(_Within(text, passage, begins).starts())
    for display in _DISPLAY.finditer(text):
        starts -= set(range(display.start() + 1, display.end()))
    edges = sorted(start for start in starts if not _extends(text, start))
    ranges = [_trimmed(text, *bounds) for bounds in pairwise([0, *edges, len(text)])]
    joined = _without_bare(text, [bounds for bounds in ranges if bounds[0] < bounds[1]])
    return np.array(joined, np.int32).reshape(-1, 2)


@dataclass(frozen=True)
class _Within:
    """One passage of a text, in which sentences begin."""

    text: str
    passage: Passage
    begins: frozenset[int] | None

    def starts(self) -> Iterator[int]:
        """Where the second and later sentences of the passage begin."""
        text, passage = self.text, self.passage
        closed = _closed(text, passage)
        begun = passage.start
        for found in _STOP.finditer(text, passage.start, passage.end):
            after = found.end()
            if after < passage.end and not _holds(closed, after) and self._ends(found, begun):
                yield from self._long(begun, after)
                yield after
                begun = after
        yield from self._long(begun, passage.end)

    def _long(self, start: int, end: int) -> Iterator[int]:
        """Where the pipeline cuts what is too long for a sentence, as in text without stops."""
        stopped = bool(_STOPPED.search(self.text, max(start, end - _NEAR), end))
        longest = _LONG if stopped else _LONG_WITHOUT_STOP
        if self.begins is not None and end - start > longest:
            yield from (begin for begin in range(start + 1, end) if begin in self.begins)

    def _before(self, found: re.Match[str], begun: int) -> str:
        """The sentence so far, or its last characters."""
        return self.text[max(begun, found.start() - _NEAR) : found.start()]

    def _ends(self, found: re.Match[str], begun: int) -> bool:
        """Whether a sentence that began at `begun` ends with what was found."""
        after = _next(self.text, found.end(), self.passage.end)
        if found["face"]:
            words = self._before(found, begun)
            return after.upper and bool(_NEXT_TO_FACE.search(words))
        closing = found["close"] or found["eastclose"] or found["dotsclose"] or ""
        quoted = any(mark in closing for mark in "”\"’'»」』")
        if quoted and _SOURCE.match(self.text, found.end(), self.passage.end):
            return False
        if found["east"] or found["dots"]:
            return not (quoted and _EAST_REPORTS.match(self.text, found.end(), self.passage.end))
        stop = found["stop"]
        if stop[-1] == "." and not stop.endswith("..") and not (set(stop) & set(_SPACED)):
            return self._full_stop(found, begun, after)
        if after.lower and (quoted or stop[-1] in ".…"):
            return False
        if after.lower:
            return self._informal(found.end(), begun)
        if stop[-1] in ".…" and after.digit:
            return False
        return not (quoted and _REPORTS.match(self.text, found.end(), self.passage.end))

    def _full_stop(self, found: re.Match[str], begun: int, after: _Next) -> bool:
        """Whether a single full stop ends the sentence."""
        before = self._before(found, begun)
        word = _WORD_BEFORE.search(before)
        last = word[0] if word else ""
        if after.symbol or self._is_label(before, last):
            return False
        if found["close"].strip(_MARKUP):  # a closed quotation, bracket or note
            return not after.lower
        if after.lower:
            return self._before_lower(found.end(), begun, last)
        return _may_end(last, before, after)

    def _before_lower(self, begin: int, begun: int, last: str) -> bool:
        """Sentences begin in lower case where the writer does so, or the pipeline says so."""
        known = last.lower() in _KNOWN or len(last) < 2 or "." in last or last[-1:].isdigit()
        return not known and self._informal(begin, begun)

    def _informal(self, begin: int, begun: int) -> bool:
        """Whether a sentence that begins in lower case may begin at `begin`."""
        first = _next(self.text, begun, self.passage.end)
        return first.lower or (self.begins is not None and begin in self.begins)

    def _is_label(self, before: str, last: str) -> bool:
        """Whether what stands before the full stop only numbers the sentence ("2", "Step 3")."""
        if len(before) >= _NEAR or not _NUMBERING.fullmatch(last):
            return False
        words = before.strip(_MARKUP).split()
        if len(words) == 1:
            return True
        return len(words) == 2 and last.isdigit() and words[0].lower() in NUMBERED


_MARKUP = "*_ \n\t>#-+~"
_NUMBERING = re.compile(r"\d{1,4}|[^\W\d_]|[IVX]{1,5}")
_KNOWN = NEVER | BEFORE_NUMBER | OFTEN_LAST | USUALLY_WITHIN
_NEXT_TO_FACE = re.compile(r"\w+\s+\w+\s\Z")


@dataclass(frozen=True)
class _Next:
    """What a sentence would begin with: its first word, and what that is."""

    word: str
    upper: bool
    lower: bool
    digit: bool
    symbol: bool


def _next(text: str, start: int, end: int) -> _Next:
    """The word that begins at or soon after `start`."""
    head = text[start : min(end, start + 60)]
    body = head.lstrip(_OPENING)
    first = body[:1]
    if first in "`$\\" or body.startswith(("http", "www.")):
        return _Next("", True, False, False, False)
    letter = next((char for char in body if char.isalnum()), "")
    at_once = first.isalnum()
    word = re.match(r"[^\W_]+(?:['’.-][^\W_]+)*\.?", body)
    return _Next(
        word=word[0] if word else "",
        upper=letter.isupper() or (letter.isalpha() and not letter.islower()),
        lower=letter.islower() and not (not at_once and re.match(_EMOJI, first) is not None),
        digit=letter.isdigit() and at_once,
        symbol=first in "=+/|,;:)]}&",
    )


def _may_end(last: str, before: str, after: _Next) -> bool:
    """Whether `last`, a word before a full stop, ends a sentence before no small letter."""
    word, following = last.lower(), after.word.rstrip(".")
    numbered = after.digit or (word != "no" and bool(_ROMAN.fullmatch(following)))
    starter = following.lower() in STARTERS and not after.word.endswith(".")
    if len(last) == 1 and last.isupper():
        return not after.digit and _letter_ends(last, before, after, starter)
    if last in ALSO_WORDS and not numbered:
        return True
    if word in NEVER or (word in BEFORE_NUMBER and numbered):
        return False
    if word in OFTEN_LAST:
        return not after.digit
    if word in BEFORE_NUMBER:
        return word == "no" or starter
    if word in USUALLY_WITHIN:
        return starter
    if _ACRONYM.fullmatch(word):
        return starter and not after.digit
    if last.isdigit():
        return following.lower() not in AFTER_ORDINAL or len(last) > 2
    if len(last) == 1 and last.isalpha():
        return _letter_ends(last, before, after, starter)
    return True


def _letter_ends(last: str, before: str, after: _Next, starter: bool) -> bool:
    """Whether a single letter ends a sentence, and is not the initial of a name."""
    words = before.split()
    previous = words[-2].strip("*_()[]:\"'").lower() if len(words) > 1 else ""
    if previous[-1:].isdigit():  # a unit
        return True
    if last.islower():
        return not after.digit and not re.fullmatch(r"\w\.", after.word)
    if re.fullmatch(r"\w\.", after.word):
        return False
    return starter or not last.isupper() or previous in BEFORE_LETTER or "=" in previous


def _closed(text: str, passage: Passage) -> list[Range]:
    """Ranges in which no sentence ends: code, formulas, links, brackets within a sentence, and
    the marker of an item with the words in bold that introduce it."""
    start, end = passage.start, passage.end
    found = [match.span() for match in _WITHIN.finditer(text, start, end)]
    for match in _BRACKETS.finditer(text, start, end):
        before = text[max(start, match.start() - 40) : match.start()].rstrip().rstrip(_MARKUP)
        if before and before[-1] not in ".!?…。！？":
            found.append((match.start(), match.end() - 1))
    if lead := _lead_in(text, passage):
        found.append(lead)
    return _united(sorted(found))


def _united(ranges: list[Range]) -> list[Range]:
    """Ascending ranges, those that overlap made one."""
    united: list[Range] = []
    for start, end in ranges:
        if united and start < united[-1][1]:
            start, last = united.pop()
            end = max(end, last)
        united.append((start, end))
    return united


def _holds(closed: list[Range], cut: int) -> bool:
    """Whether a sentence that begins at `cut` would cut one of the ranges, or begin at its end."""
    index = bisect_left(closed, (cut, 0)) - 1
    return index >= 0 and cut <= closed[index][1]


def _lead_in(text: str, passage: Passage) -> Range | None:
    markers = _MARKERS.match(text, passage.start, passage.end)
    begin = markers.end() if markers else passage.start
    lead = _LEAD.match(text, begin, passage.end)
    if lead and (passage.kind == "item" or _NUMBER_FIRST.match(lead["words"])):
        blank = re.compile(r"\s*").match(text, lead.end(), passage.end)
        return passage.start, blank.end() if blank else lead.end()
    return None


def _trimmed(text: str, start: int, end: int) -> Range:
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), start + len(body.rstrip())


def _extends(text: str, start: int) -> bool:
    """Whether the character at `start` is a part of the one before it."""
    if start >= len(text):
        return True
    char, before = text[start], text[start - 1 : start]
    return (
        unicodedata.category(char) in ("Mn", "Mc", "Me")
        or char in "\u200d\ufe0e\ufe0f"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or before == "\u200d"
    )


def _without_bare(text: str, ranges: list[Range]) -> list[Range]:
    """The ranges, those without words joined: markers to what follows, others to what precedes."""
    joined: list[Range] = []
    pending: int | None = None
    for start, end in ranges:
        begin, pending = start if pending is None else pending, None
        bare = _bare(text[start:end])
        if bare == "before" and joined:
            joined[-1] = (joined[-1][0], end)
        elif bare:
            pending = begin
        else:
            joined.append((begin, end))
    if pending is not None:
        last = joined.pop()[0] if joined else pending
        joined.append((last, ranges[-1][1]))
    return joined


def _bare(sentence: str) -> str:
    """Where a sentence without words belongs, `before` or `after`; empty if it has words."""
    if len(sentence) > 200:
        return ""
    if _RULE.fullmatch(sentence):
        return "before"
    if _BARE_MARKER.fullmatch(sentence) or _OPENING_TAG.fullmatch(sentence):
        return "after"
    words = _TAGS.sub("", sentence)
    return "" if any(char.isalnum() for char in words) else "before"
