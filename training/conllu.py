"""Sentences of a treebank in CoNLL-U, and texts made of them with their gold words and sentences.

Knows nothing of spaCy and of what is trained on them.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Range = tuple[int, int]


@dataclass(frozen=True)
class Sentence:
    """W words; `pos` are their UPOS tags, `spaces` say after which of them white space follows.

    `present` are the words with full verbs of the simple past in the third person present.
    """

    words: tuple[str, ...]
    pos: tuple[str, ...]
    spaces: tuple[bool, ...]
    present: tuple[str, ...]
    begins_paragraph: bool = False


@dataclass(frozen=True)
class Gold:
    """A text, and half-open character ranges of its W words (tagged `pos`) and its sentences."""

    text: str
    words: list[Range]
    pos: list[str]
    sentences: list[Range]


def read_conllu(path: Path) -> list[list[Sentence]]:
    """The documents of a gzipped CoNLL-U file; a contraction is read as its syntactic words."""
    documents: list[list[Sentence]] = []
    for block in gzip.decompress(path.read_bytes()).decode("utf-8").strip().split("\n\n"):
        comments = [line for line in block.splitlines() if line.startswith("#")]
        rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
        if not documents or any(line.startswith("# newdoc") for line in comments):
            documents.append([])
        begins = any(line.startswith("# newpar") for line in comments)
        documents[-1].append(_sentence(rows, begins))
    return documents


def _sentence(rows: list[list[str]], begins_paragraph: bool) -> Sentence:
    inside: dict[int, bool] = {}  # number of a word in a contraction: does white space follow?
    words: list[tuple[str, str, bool, str]] = []
    for number, form, lemma, upos, xpos, *_, misc in rows:
        spaced = "SpaceAfter=No" not in misc
        if "-" in number:
            first, last = map(int, number.split("-"))
            inside |= {**dict.fromkeys(range(first, last), False), last: spaced}
        elif "." not in number:  # elided words are not in the text
            past = (upos, xpos) == ("VERB", "VBD") and form.islower()
            present = third_person(lemma) if past else form
            words.append((form, upos, inside.get(int(number), spaced), present))
    forms, pos, spaces, presents = zip(*words, strict=True)
    return Sentence(forms, pos, spaces, presents, begins_paragraph)


def third_person(verb: str) -> str:
    """An English infinitive in the third person singular of the present."""
    if verb in ("be", "have"):
        return {"be": "is", "have": "has"}[verb]
    if re.search(r"(?:[sxzo]|ch|sh)$", verb):
        return verb + "es"
    return re.sub(r"(?<![aeiou])y$", "ie", verb) + "s"


def written(document: Sequence[Sentence], lines: bool = False) -> Gold:
    """The document as a text: run together, or (`lines`) a line for each paragraph."""
    text = ""
    words: list[Range] = []
    sentences: list[Range] = []
    for sentence in document:
        if lines and sentence.begins_paragraph and text:
            text = text.rstrip() + "\n"
        start = len(text)
        for word, space in zip(sentence.words, sentence.spaces, strict=True):
            words.append((len(text), len(text) + len(word)))
            text += word + " " * space
        sentences.append((start, words[-1][1]))
    return Gold(text, words, [pos for s in document for pos in s.pos], sentences)
