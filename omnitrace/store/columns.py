"""A trace as named flat arrays and back: the columns of a segment.

Pure: knows the trace and its legal shapes, not files, checksums or codecs. Every array's last
axis is the one that a segment packs sample after sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from omnitrace.arrays import Array
from omnitrace.errors import SampleError
from omnitrace.store.commit import ILLEGAL_JSON, Unreadable, json_bytes, utf8
from omnitrace.text import safe_text
from omnitrace.timeline import Medium, Modality, Part, Timeline
from omnitrace.trace import SignalRows, Trace, cells

_SIGNAL_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_SECONDS = ("start_s", "end_s")
_PLACES = ("modality", "part", "medium", "char_start", "char_end", "row", "column", "frame")


@dataclass(frozen=True)
class Column:
    """One packed array: its dtype and the names of its rows (none: it is one-dimensional)."""

    dtype: np.dtype[Any]
    rows: tuple[str, ...] = ()


COLUMNS = {
    "prompt": Column(np.dtype("i4"), ("token_id", *_PLACES)),
    "prompt_seconds": Column(np.dtype("f8"), _SECONDS),
    "prompt_text": Column(np.dtype("u1")),
    "prompt_sentences": Column(np.dtype("i4"), ("char_start", "char_end")),
    "response": Column(np.dtype("i4"), ("token_id", "char_start", "char_end", "pos")),
    "response_values": Column(np.dtype("f4"), ("logprob", "entropy")),
    "response_text": Column(np.dtype("u1")),
    "sentences": Column(np.dtype("i4"), ("char_start", "char_end")),
    "sample": Column(np.dtype("u1")),
}
SIGNAL = Column(np.dtype("f4"))
ARRAY = Column(np.dtype("u1"))
OFFSET = "offset"


class SignalEntry(Struct, frozen=True):
    """The entry of one signal in `sample`: its layers, and whether it has a prompt-mean row."""

    layers: list[int]
    first_row: bool


class ArrayEntry(Struct, frozen=True):
    """The entry of one array of a finer level in `sample`: little-endian, in C order."""

    dtype: Literal["float32", "float64", "float16", "uint16", "int32"]
    shape: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]]


class SampleDocument(Struct, frozen=True):
    """The JSON of column `sample`: all of a trace but its arrays. `pos` names the tag numbers."""

    id: str
    key: str
    pos: list[str]
    parts: list[Part]
    media: list[Medium]
    signals: dict[str, SignalEntry]
    meta: dict[str, Any]
    arrays: dict[str, ArrayEntry] = {}


def signal_columns(name: str) -> tuple[str, str]:
    """The two columns of a signal: its values and its prompt-mean rows."""
    return f"signal.{name}", f"first_row.{name}"


def array_column(name: str) -> str:
    """The column of an array of a finer level."""
    return f"array.{name}"


def column(name: str) -> Column | None:
    """What the column `name` holds; None for one that this version does not know."""
    if name.startswith(("signal.", "first_row.")):
        return SIGNAL
    if name.startswith("array."):
        return ARRAY
    return COLUMNS.get(name)


def pack(trace: Trace, key: str) -> dict[str, Array]:
    """The pieces of one sample by column; the trace must have passed `check_trace`."""
    line = trace.timeline
    vocabulary = sorted(set(trace.pos))
    tags = np.array([vocabulary.index(tag) for tag in trace.pos], np.int32)
    places = {name: getattr(line, name) for name in _PLACES if not name.startswith("char_")}
    places |= {"char_start": line.chars[:, 0], "char_end": line.chars[:, 1]}
    pieces: dict[str, Array] = {
        "prompt": np.stack([trace.prompt_ids, *(places[name] for name in _PLACES)]).astype("i4"),
        "prompt_seconds": np.stack([line.start_s, line.end_s]),
        "prompt_text": _bytes(utf8(trace.prompt_text)),
        "prompt_sentences": trace.prompt_sentences.T,
        "response": np.stack([trace.response_ids, *trace.chars.T, tags]),
        "response_values": np.stack([trace.logprob, trace.entropy]),
        "response_text": _bytes(utf8(trace.response)),
        "sentences": trace.sentences.T,
        "sample": _bytes(_document(trace, key, vocabulary)),
    }
    for name, rows in trace.signals.items():
        values, first_row = signal_columns(name)
        pieces[values] = rows.values
        pieces[first_row] = np.zeros(0, "f4") if rows.first_row is None else rows.first_row
    for name, array in trace.arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        pieces[array_column(name)] = little.reshape(-1).view("u1")
    return pieces


def unpack_document(data: bytes) -> SampleDocument:
    """Column `sample` of one sample, its text safe for a terminal; Unreadable otherwise."""
    try:
        found = msgspec.json.decode(data, type=SampleDocument)
        return msgspec.convert(safe_json(msgspec.to_builtins(found)), SampleDocument)
    except ILLEGAL_JSON as error:
        raise Unreadable(f"the sample's JSON is not legal: {error}") from error


def unpack(
    pieces: Mapping[str, Array],
    document: SampleDocument,
    sample_id: str,
    signals: Mapping[str, SignalRows],
    arrays: Mapping[str, Array],
) -> Trace:
    """The trace of one sample from its pieces; Unreadable where they are no legal trace."""
    prompt, response = pieces["prompt"], pieces["response"]
    places = dict(zip(_PLACES, prompt[1:], strict=True))
    chars = _pairs(np.stack([places.pop("char_start"), places.pop("char_end")]))
    if not np.all((places["modality"] >= 0) & (places["modality"] < len(Modality))):
        raise Unreadable("a prompt token has no legal modality")
    if response.shape[1] and not 0 <= response[3].min() <= response[3].max() < len(document.pos):
        raise Unreadable("a step has no legal POS tag")
    seconds = dict(zip(_SECONDS, pieces["prompt_seconds"], strict=True))
    modality = places.pop("modality").astype(np.uint8)
    trace = Trace(
        id=sample_id,
        prompt_text=_text(pieces["prompt_text"]),
        response=_text(pieces["response_text"]),
        prompt_ids=prompt[0],
        response_ids=response[0],
        chars=_pairs(response[1:3]),
        logprob=pieces["response_values"][0],
        entropy=pieces["response_values"][1],
        pos=tuple(document.pos[tag] for tag in response[3]),
        sentences=_pairs(pieces["sentences"]),
        prompt_sentences=_pairs(pieces["prompt_sentences"]),
        timeline=Timeline(modality=modality, chars=chars, **places, **seconds),
        parts=tuple(document.parts),
        media=tuple(document.media),
        signals=signals,
        meta=document.meta,
        arrays=arrays,
    )
    _check(trace)
    return trace


def unpack_signal(
    name: str, entry: SignalEntry, pieces: tuple[Array, Array], n: int, steps: int
) -> SignalRows:
    """One signal of one sample; Unreadable where its lengths are not those of n and T."""
    values, first_row = pieces
    rows = SignalRows(values, tuple(entry.layers), first_row if entry.first_row else None)
    _check_signal(name, rows, n, steps)
    return rows


def unpack_array(entry: ArrayEntry, data: Array) -> Array:
    """One array of one sample from its bytes; Unreadable if their number is another."""
    dtype = np.dtype(entry.dtype)
    if len(data) != math.prod(entry.shape) * dtype.itemsize:
        raise Unreadable(f"its {len(data)} bytes are not {entry.shape} of {entry.dtype}")
    return data.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(entry.shape)


def check_trace(trace: Trace, key: str) -> None:
    """SampleError naming the sample and the field unless `trace` can be stored and read back."""
    try:
        trace.id.encode()
        key.encode()
        _check(trace)
        for name, rows in trace.signals.items():
            _check_signal(name, rows, trace.n, trace.T)
        for name, array in trace.arrays.items():
            _check_array(name, array)
        json_bytes(trace.meta)
    except UnicodeEncodeError:
        raise SampleError(f"the id or key of sample {trace.id!r} is not Unicode.") from None
    except (Unreadable, ValueError, TypeError) as error:
        raise SampleError(f"sample '{safe_text(trace.id)}' cannot be stored: {error}.") from error


def safe_json(data: Any) -> Any:
    """JSON data with every string made safe for a terminal."""
    if isinstance(data, str):
        return safe_text(data)
    if isinstance(data, list):
        return [safe_json(item) for item in data]
    if isinstance(data, dict):
        return {safe_text(key): safe_json(value) for key, value in data.items()}
    return data


def modality_counts(trace: Trace) -> dict[str, int]:
    """Prompt tokens by modality label, the absent ones left out."""
    counts = np.bincount(trace.timeline.modality, minlength=len(Modality))
    return {modality.label: int(counts[modality]) for modality in Modality if counts[modality]}


def _document(trace: Trace, key: str, vocabulary: Sequence[str]) -> bytes:
    signals = {
        name: {
            "layers": [int(layer) for layer in rows.layers],
            "first_row": rows.first_row is not None,
        }
        for name, rows in trace.signals.items()
    }
    return json_bytes(
        {
            "id": trace.id,
            "key": key,
            "pos": vocabulary,
            "parts": [asdict(part) for part in trace.parts],
            "media": [asdict(medium) for medium in trace.media],
            "signals": signals,
            "meta": dict(trace.meta),
            "arrays": {
                name: {"dtype": array.dtype.name, "shape": list(array.shape)}
                for name, array in trace.arrays.items()
            },
        }
    )


def _check(trace: Trace) -> None:
    n, steps = trace.n, trace.T
    if n < 1:
        raise Unreadable("it has no prompt tokens")
    _shaped("prompt_ids", trace.prompt_ids, "i4", (n,))
    _shaped("response_ids", trace.response_ids, "i4", (steps,))
    _shaped("logprob", trace.logprob, "f4", (steps,))
    _shaped("entropy", trace.entropy, "f4", (steps,))
    if len(trace.pos) != steps:
        raise Unreadable(f"it has {len(trace.pos)} POS tags for {steps} steps")
    _ranges("chars", trace.chars, steps, trace.response)
    _ranges("sentences", trace.sentences, len(trace.sentences), trace.response)
    _ranges(
        "prompt_sentences", trace.prompt_sentences, len(trace.prompt_sentences), trace.prompt_text
    )
    _check_timeline(trace)


def _check_timeline(trace: Trace) -> None:
    line, n = trace.timeline, trace.n
    for name, dtype in Timeline.dtypes().items():
        shape = (n, 2) if name == "chars" else (n,)
        _shaped(f"timeline.{name}", getattr(line, name), dtype, shape)
    _ranges("timeline.chars", line.chars, n, trace.prompt_text)
    if line.modality.max() >= len(Modality):
        raise Unreadable("timeline.modality holds no legal modality")
    media = np.array([part.medium for part in trace.parts], np.int64)
    _indices("timeline.part", line.part, len(trace.parts))
    _indices("timeline.medium", line.medium, len(trace.media))
    _indices("parts.medium", media, len(trace.media))


def _check_signal(name: str, rows: SignalRows, n: int, steps: int) -> None:
    if not _SIGNAL_NAME.fullmatch(name):
        raise Unreadable(f"the signal name {name!r} is not lower-case letters, digits, _ and -")
    if len(set(rows.layers)) < len(rows.layers):
        raise Unreadable(f"signal '{name}' names a layer twice")
    blocks = max(1, len(rows.layers))
    _shaped(f"signal '{name}'", rows.values, "f4", (blocks * cells(n, steps),))
    if rows.first_row is not None:
        _shaped(f"first row of '{name}'", rows.first_row, "f4", (n,))


def _check_array(name: str, array: Array) -> None:
    if not _SIGNAL_NAME.fullmatch(name):
        raise Unreadable(f"the array name {name!r} is not lower-case letters, digits, _ and -")
    try:
        msgspec.convert({"dtype": array.dtype.name, "shape": list(array.shape)}, ArrayEntry)
    except msgspec.ValidationError as error:
        raise Unreadable(f"array '{name}' is {array.dtype} {array.shape}: {error}") from error


def _shaped(what: str, array: Array, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise Unreadable(
            f"{what} is {array.shape} {array.dtype}, not {shape} {np.dtype(dtype).name}"
        )


def _ranges(what: str, ranges: Array, count: int, text: str) -> None:
    _shaped(what, ranges, "i4", (count, 2))
    ordered = ranges[:, 0] <= ranges[:, 1]
    if count and not (ordered.all() and ranges.min() >= 0 and ranges.max() <= len(text)):
        raise Unreadable(f"{what} leaves its text of {len(text)} characters")


def _indices(what: str, indices: Array, count: int) -> None:
    if indices.size and not -1 <= indices.min() <= indices.max() < count:
        raise Unreadable(f"{what} is not from -1 to {count - 1}")


def _pairs(rows: Array) -> Array:
    return np.ascontiguousarray(rows.T)


def _bytes(data: bytes) -> Array:
    return np.frombuffer(data, np.uint8)


def _text(data: Array) -> str:
    try:
        return safe_text(data.tobytes().decode())
    except UnicodeDecodeError as error:
        raise Unreadable("its text is not UTF-8") from error
