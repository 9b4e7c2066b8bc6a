"""Queries: words, `field:word`, `field<number`, each negated by `-`.

`has:image f1<0.5 -parcel` reads: an image in the prompt, an F1 below one half, and the word
parcel nowhere. Knows columns; neither samples nor steps.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnitrace.arrays import Array, Bool
from omnitrace.errors import CommandError, nearest

TEXT = "text"  # the field of a word without one

_TOKEN = re.compile(r'-?(?:[A-Za-z]\w*(?:<=|>=|:|<|>|=))?(?:"[^"]*"?|[^\s"]+)|-')
_FIELD = re.compile(r"([A-Za-z]\w*)(<=|>=|:|<|>|=)(.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Columns:
    """The fields of `count` rows that a query can name.

    `numbers`: field → (count,) numbers, NaN where unknown; `words`: field → which rows hold a
    word, given in lower case: (count,) bool, or CommandError naming the legal words.
    """

    count: int
    numbers: Mapping[str, Array]
    words: Mapping[str, Callable[[str], Bool]]

    @property
    def fields(self) -> list[str]:
        return [*self.words, *self.numbers]

    def select(self, query: str) -> Bool:
        """(count,) bool: the rows that match all terms; CommandError where one is not legal."""
        chosen = np.ones(self.count, bool)
        for token in _TOKEN.findall(query):
            negated = token.startswith("-") and len(token) > 1
            held = self._held(token[1:] if negated else token)
            chosen &= ~held if negated else held
        return chosen

    def _held(self, token: str) -> Bool:
        found = _FIELD.fullmatch(token)
        if not found or token.startswith('"'):
            return self.words[TEXT](_word(token))
        field, sign, value = found.groups()
        field = field.lower()
        if field in self.words and sign in ":=":
            return self.words[field](_word(value))
        if field in self.numbers and sign != ":":
            return self._compare(field, sign, value)
        if field in self.fields:
            how = f"{field}<0.5" if field in self.numbers else f"{field}:word"
            raise CommandError(f"ask for {field} as {how}.")
        raise CommandError(f"no field '{field}': {nearest(field, self.fields)}.")

    def _compare(self, field: str, sign: str, value: str) -> Bool:
        try:
            number = float(value)
        except ValueError:
            raise CommandError(f"{field}{sign} needs a number, as {field}{sign}0.5.") from None
        held: Bool = _COMPARE[sign](self.numbers[field], number)
        return held


def holding(texts: Iterable[str]) -> Callable[[str], Bool]:
    """The words of a column of texts: a row holds a word that it contains, case ignored."""
    lowered = [text.lower() for text in texts]
    return lambda word: np.array([word in text for text in lowered], bool)


def among(known: Mapping[str, Bool]) -> Callable[[str], Bool]:
    """The words of a column with few legal ones, which may be abbreviated: `has:im`."""

    def held(word: str) -> Bool:
        found = [name for name in known if word and name.startswith(word)]
        if not found:
            raise CommandError(f"'{word}' is none of {', '.join(known)}.")
        return known[found[0]]

    return held


def _word(text: str) -> str:
    return text.strip('"').lower()
