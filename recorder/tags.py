"""Words, parts of speech and sentences of a text, by a spaCy pipeline: the bundled or a user's own.

Knows no model, no token ids and no run. spaCy is imported when a pipeline is loaded and not
before, because it imports torch wherever torch is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import CommandError, OmniTraceError, extra
from omnitrace.passages import BREAKS, joined_lines, passages
from omnitrace.splitting import split
from omnitrace.text import one_line
from omnitrace.timeline import Modality, Timeline
from recorder.config import TAGGER

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span

Range = tuple[int, int]

NOT_NEEDED = ["ner", "lemmatizer", "entity_linker"]
PROBE = "A dog runs. It barks."

SPLITTERS = {"markdown": "markdown-1", "plain": ""}
"""Ways to split sentences, and what each adds to the tagger's name. A new version of one that
splits otherwise has a new name, so that one run never holds sentences of both."""

# A stretch is tagged by itself, and so never shares a sentence with another. It ends with a line
# break or with a full stop of Chinese or Japanese, which spaCy's English tokenizer leaves inside
# words.
_STOPS = "。｡！？"
_CLOSING = "”’」』）》\"')\\]*_"
_STRETCH = re.compile(rf"[^{BREAKS}{_STOPS}]*[{_STOPS}]+[{_CLOSING}]*|[^{BREAKS}{_STOPS}]+")
_STOPPED = re.compile(rf"[{_STOPS}][{_CLOSING}]*\Z")
_ENDED = re.compile(rf"[.!?…{_STOPS}][{_CLOSING}]*\Z")
_SENTENCE_END = re.compile(r"[.!?]\s+")
_SPACE = re.compile(r"\s+")
_MARKER = re.compile(r"(?:\d{1,3}|[A-Za-z])[.)]|[-+*•–]")
_SURROGATE = re.compile("[\ud800-\udfff]")

# spaCy peels punctuation off a word one character at a time, copying the rest: quadratic.
_UNBROKEN = 256
_LONG_WORD = re.compile(rf"\S{{{_UNBROKEN}}}(?=\S)")
_BLOCK = 20_000
_EDITED = 0.85  # share of a line's sentences that end with a full stop or the like


@dataclass(frozen=True)
class Tags:
    """The W words and K sentences of a text.

    `starts`, `ends` (W,) int32: half-open character ranges, ascending and disjoint, that cover
    every visible character; `pos`: W universal POS tags; `sentences` (K, 2) int32: half-open
    character ranges, ascending and disjoint, that begin and end with a word and hold every word.
    """

    starts: Int32
    ends: Int32
    pos: tuple[str, ...]
    sentences: Int32


@dataclass(frozen=True)
class Tagger:
    """A spaCy pipeline that tags; `pipeline`: its name and version; `splitter`: of `SPLITTERS`."""

    nlp: Language
    pipeline: str
    splitter: str = "markdown"

    @property
    def name(self) -> str:
        """What tags and splits, for the run's identity."""
        return " ".join(filter(None, (self.pipeline, SPLITTERS[self.splitter])))

    def tag(self, text: str) -> Tags:
        """Tag `text`, of any length and of any characters.

        `markdown`: sentences are those of `omnitrace.splitting`, and a sentence runs over line
        breaks where lines were full. `plain`: they are the pipeline's, and every line break ends
        one. Text without line breaks of more than 20,000 characters is tagged in blocks, cut after
        a sentence where one ends and at white space elsewhere.
        """
        clean = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
        if self.splitter == "plain":
            return self._tagged(clean)
        found = passages(clean)
        tags = self._tagged(joined_lines(clean, found))
        begins = frozenset(tags.sentences[:, 0].tolist())
        return _with_sentences(tags, split(clean, found, begins))

    def _tagged(self, text: str) -> Tags:
        blocks = list(_blocks(text))
        words: list[Range] = []
        pos: list[str] = []
        sentences: list[Range] = []
        # The zone frees the strings that spaCy would otherwise keep of every new word.
        with self.nlp.memory_zone():
            docs = self.nlp.pipe(_document(self.nlp, text[start:end]) for start, end in blocks)
            for (start, _), doc in zip(blocks, docs, strict=True):
                seen = [word for word in doc if not word.is_space]
                words += [(start + word.idx, start + word.idx + len(word)) for word in seen]
                pos += [word.pos_ or "X" for word in seen]
                sentences += [(start + first, start + last) for first, last in _sentences(doc)]
        bounds = _pairs(words)
        return Tags(bounds[:, 0].copy(), bounds[:, 1].copy(), tuple(pos), _pairs(sentences))


def load_tagger(name: str | None = None, splitter: str = "markdown") -> Tagger:
    """The bundled pipeline, or the user's own by package name or path; `splitter`: of `SPLITTERS`.

    Raises `CommandError` without spaCy, if there is no such pipeline, or if it does not tag and
    split sentences, and `OmniTraceError` if the bundled one is damaged.
    """
    with extra("tag", "tags and sentences need"):
        import spacy  # noqa: F401
    if name is None:
        return replace(_bundled(TAGGER), splitter=splitter)
    nlp = _users_own(name)
    missing = _missing(nlp)
    if missing:
        raise CommandError(
            f"The spaCy pipeline '{name}' gives no {' and no '.join(missing)} "
            f"(its components: {', '.join(nlp.pipe_names) or 'none'}). Name one that does, such "
            "as 'en_core_web_sm', or none to use the bundled tagger."
        )
    return Tagger(nlp, _name(nlp), splitter)


def align_pos(offsets: Int32, tags: Tags) -> tuple[str, ...]:
    """The POS tag of each generation step: that of the word it shares most characters with.

    `offsets` (T, 2) int32 are the steps' half-open character ranges in the tagged text. Ties go to
    the first word. A step of white space alone is "SPACE", a step without characters (a special
    token, the first bytes of a character) "X".
    """
    first = np.searchsorted(tags.ends, offsets[:, 0], side="right")
    after = np.searchsorted(tags.starts, offsets[:, 1], side="left")
    steps = zip(offsets.tolist(), first.tolist(), after.tolist(), strict=True)
    return tuple(_pos(start, end, range(a, b), tags) for (start, end), a, b in steps)


def prompt_sentences(text: str, timeline: Timeline, tagger: Tagger) -> Int32:
    """(P, 2) int32 character ranges in the prompt's text; no sentence spans two content parts."""
    words, found = timeline.modality == Modality.TEXT, [np.zeros((0, 2), np.int32)]
    for part in np.unique(timeline.part[words]):
        chars = timeline.chars[(timeline.part == part) & words]
        start, end = int(chars[:, 0].min()), int(chars[:, 1].max())
        found.append(tagger.tag(text[start:end]).sentences + start)
    return np.concatenate(found).astype(np.int32)


def _with_sentences(tags: Tags, sentences: Int32) -> Tags:
    """The tags with `sentences` (K, 2), which hold all their characters; a word that lies in
    several sentences becomes one in each."""
    first = np.searchsorted(sentences[:, 1], tags.starts, side="right").tolist()
    after = np.searchsorted(sentences[:, 0], tags.ends, side="left").tolist()
    words, pos = list[Range](), list[str]()
    for start, end, tag, a, b in zip(
        tags.starts.tolist(), tags.ends.tolist(), tags.pos, first, after, strict=True
    ):
        inside = sentences[a:b].tolist() if b > a + 1 else [(start, end)]
        words += [(max(start, low), min(end, high)) for low, high in inside]
        pos += [tag] * len(inside)
    bounds = _pairs(words)
    return Tags(bounds[:, 0].copy(), bounds[:, 1].copy(), tuple(pos), sentences)


def _pos(start: int, end: int, words: range, tags: Tags) -> str:
    if start >= end:
        return "X"
    if not words:
        return "SPACE"

    def shared(word: int) -> int:
        return int(min(end, tags.ends[word]) - max(start, tags.starts[word]))

    return tags.pos[max(words, key=shared)]


@cache  # a quarter of a second for each recording of a process
def _bundled(path: Path) -> Tagger:
    import spacy

    try:
        nlp = spacy.load(path)
    except (OSError, ValueError) as error:
        raise OmniTraceError(
            f"The bundled tagger in {path} is missing or damaged ({_reason(error)}). Install "
            "omnitrace-replay again, or name a spaCy pipeline of your own."
        ) from error
    return Tagger(nlp, _name(nlp))


def _users_own(name: str) -> Language:
    import spacy

    try:
        return spacy.load(name, exclude=NOT_NEEDED)
    except Exception as error:  # a pipeline is foreign code, which may fail in any way
        package = name if name.isidentifier() else "NAME"
        raise CommandError(
            f"There is no usable spaCy pipeline '{name}' ({_reason(error)}). Give the path of one, "
            f"the name of an installed one (python -m spacy download {package} installs it), or "
            "none to use the bundled tagger."
        ) from error


def _reason(error: Exception) -> str:
    return one_line(str(error), 200)


def _missing(nlp: Language) -> list[str]:
    """Tried rather than read from the components, which do not declare all that they write."""
    doc = nlp(PROBE)
    wanted = {"parts of speech": "POS", "sentence boundaries": "SENT_START"}
    return [label for label, attribute in wanted.items() if not doc.has_annotation(attribute)]


def _name(nlp: Language) -> str:
    return f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}"


def _blocks(text: str) -> Iterator[Range]:
    """Ranges of `text`, none longer than `_BLOCK`, between which a sentence always ends."""
    for stretch in _STRETCH.finditer(text):
        start, end = stretch.span()
        while end - start > _BLOCK:
            cut = _cut(text, start, start + _BLOCK)
            yield start, cut
            start = cut
        yield start, end


def _cut(text: str, start: int, end: int) -> int:
    """Where best to cut `text[start:end]`: late, after a sentence or else after white space."""
    for boundary in (_SENTENCE_END, _SPACE):
        cuts = [found.end() for found in boundary.finditer(text, start, end)]
        if cuts:
            return cuts[-1]
    return end


def _document(nlp: Language, text: str) -> Doc:
    """`text` in words, not yet tagged; words are cut after `_UNBROKEN` characters."""
    from spacy.tokens import Doc

    cuts = [0, *(word.end() for word in _LONG_WORD.finditer(text)), len(text)]
    pieces = [nlp.make_doc(text[a:b]) for a, b in pairwise(cuts)]
    if len(pieces) == 1:
        return pieces[0]
    whole = Doc.from_docs(pieces, ensure_whitespace=False)
    assert whole is not None
    return whole


def _sentences(doc: Doc) -> list[Range]:
    """Character ranges without white space at the ends, by the pipeline and two rules.

    A bare list marker belongs to what follows; and where nearly every sentence ends with a full
    stop or the like, as in edited text and models' answers, every one but the last does.
    """
    text = doc.text
    found = [bounds for sentence in doc.sents if (bounds := _trimmed(sentence))]
    ended = [bool(_ENDED.search(text, start, end)) for start, end in found]
    edited = bool(_STOPPED.search(text)) or sum(ended) >= _EDITED * len(found)
    joined: list[Range] = []
    goes_on = False
    for (start, end), ends in zip(found, ended, strict=True):
        joined.append((joined.pop()[0] if goes_on else start, end))
        goes_on = (edited and not ends) or bool(_MARKER.fullmatch(text, *joined[-1]))
    return joined


def _trimmed(sentence: Span) -> Range | None:
    words = [word for word in sentence if not word.is_space]
    return (words[0].idx, words[-1].idx + len(words[-1])) if words else None


def _pairs(ranges: list[Range]) -> Int32:
    return np.array(ranges, np.int32).reshape(-1, 2)
