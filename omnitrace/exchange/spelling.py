"""Traces of text from tokens that other programs saved, as their tokenizers write them.

Byte-level marks (`Ġ`), SentencePiece's (`▁`, `<0x0A>`) and WordPiece's (`##`) are understood, as is
text already decoded; special tokens spell nothing. Knows no file and no signal.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from omnitrace.arrays import Array, Int32
from omnitrace.splitting import sentences_of
from omnitrace.text import safe_text
from omnitrace.timeline import Modality, Part, Timeline
from omnitrace.trace import SignalRows, Trace

_BYTE = re.compile("<0x([0-9A-F]{2})>")
_SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[(?:CLS|SEP|PAD|UNK|BOS|EOS)\]")


@dataclass(frozen=True)
class Tokens:
    """Tokens in order: `ids` int32, and what each is called."""

    ids: Int32
    names: Sequence[str]


def text_trace(
    id: str,
    prompt: Tokens,
    response: Tokens,
    source: str,
    signals: Mapping[str, SignalRows],
    arrays: Mapping[str, Array] = MappingProxyType({}),
) -> Trace:
    """A trace of one part of text; log-probabilities and entropies are NaN, tags `X`.

    `source` names the tool that recorded it.
    """
    by_byte = any(name[:1] in ("Ġ", "Ċ") for name in (*prompt.names, *response.names))
    prompt_text, places = _text(prompt.names, by_byte)
    answer, chars = _text(response.names, by_byte)
    unknown = np.full(len(chars), np.nan, np.float32)
    return Trace(
        id=id,
        prompt_text=prompt_text,
        response=answer,
        prompt_ids=prompt.ids,
        response_ids=response.ids,
        chars=chars,
        logprob=unknown,
        entropy=unknown,
        pos=("X",) * len(chars),
        sentences=sentences_of(answer),
        prompt_sentences=sentences_of(prompt_text),
        timeline=_timeline(places),
        parts=(Part("user", "text"),),
        media=(),
        signals=signals,
        meta={"imported_from": source},
        arrays=arrays,
    )


def _text(names: Sequence[str], by_byte: bool) -> tuple[str, Int32]:
    """The text that the tokens spell and their ranges in it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces, ends = list[str](), list[int]()
    length = 0
    for name in names:
        if byte := _BYTE.fullmatch(name):
            piece = decoder.decode(bytes.fromhex(byte[1]))
        elif _SPECIAL.fullmatch(name):
            piece = ""
        elif by_byte and all(char in _BYTES for char in name):
            piece = decoder.decode(bytes(_BYTES[char] for char in name))
        else:
            piece = name.removeprefix("##").replace("▁", " ")
        pieces.append(safe_text(piece))
        length += len(piece)
        ends.append(length)
    ranges = list(zip([0, *ends], ends, strict=False))
    return "".join(pieces), np.array(ranges, np.int32).reshape(-1, 2)


def _byte_alphabet() -> dict[str, int]:
    """Character → byte, as byte-level tokenizers write bytes: printable ones as they are."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


_BYTES = _byte_alphabet()


def _timeline(chars: Int32) -> Timeline:
    blank = Timeline.blank(len(chars))
    spells = chars[:, 1] > chars[:, 0]
    modality = np.where(spells, Modality.TEXT, Modality.SPECIAL).astype(np.uint8)
    part = np.where(spells, 0, -1).astype(np.int32)
    return replace(blank, modality=modality, part=part, chars=chars)
