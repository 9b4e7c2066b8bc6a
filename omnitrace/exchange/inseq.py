"""Recordings that inseq saved (`FeatureAttributionOutput.save`, JSON or gzipped) as traces of text.

Of decoder-only models the prompt is the prefix that was not attributed; of encoder-decoder models
the source, then that prefix. Scores by layer, head or hidden unit are aggregated to one a token as
in inseq's defaults: the Euclidean norm over hidden units, the mean over the rest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from omnitrace.arrays import Float32
from omnitrace.errors import OmniTraceError
from omnitrace.exchange.safetensors import tensors
from omnitrace.exchange.spelling import Tokens, text_trace
from omnitrace.store.commit import Unreadable
from omnitrace.text import one_line
from omnitrace.trace import SignalRows, Trace, pack_rows

MAX_BYTES = 2**31
"""Of the file, and of what a gzipped one unpacks to."""


class _Token(msgspec.Struct):
    token: str
    id: Any = 0


class _Sequence(msgspec.Struct):
    source: list[_Token]
    target: list[_Token]
    source_attributions: Any = None
    target_attributions: Any = None
    step_scores: dict[str, Any] | None = None
    attr_pos_start: int = 0
    attr_pos_end: int | None = None
    granular: bool = False


def read_inseq(path: Path) -> tuple[dict[str, Any], Iterator[tuple[Trace, str]]]:
    """What identifies the run, and (trace, key) of every sequence.

    OmniTraceError naming the file, and of a sequence its number, where it is not legal.
    """
    document = _plain(_document(path))
    try:
        info = dict(document.get("info") or {})
        sequences = document["sequence_attributions"]
        if not isinstance(sequences, list):
            raise TypeError
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OmniTraceError(f"{path} holds no attributions that inseq saved.") from error
    method = str(info.get("attribution_method", "inseq"))
    signal = re.sub(r"[^a-z0-9_-]+", "-", method.lower()).strip("-_")[:64] or "inseq"
    identity = {"imported_from": "inseq", "method": method, "model": str(info.get("model_name"))}
    return identity, _traces(path, sequences, signal)


def _traces(path: Path, sequences: list[Any], signal: str) -> Iterator[tuple[Trace, str]]:
    for number, sequence in enumerate(sequences):
        try:
            canonical = json.dumps(sequence, sort_keys=True).encode("utf-8", "surrogatepass")
            found = msgspec.convert(sequence, _Sequence, strict=True)
            with np.errstate(all="ignore"):  # numbers too large are infinite
                trace = _trace(str(number), found, signal)
            yield trace, hashlib.sha256(canonical).hexdigest()
        except (Unreadable, msgspec.ValidationError, ValueError, RecursionError) as error:
            raise OmniTraceError(
                f"{path}, sequence {number}: {one_line(str(error), 300)}."
            ) from error


def _document(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            blocks, size = [], 0
            while block := file.read(2**20):
                blocks.append(block)
                size += len(block)
                if size > MAX_BYTES:
                    raise OmniTraceError(f"{path} holds more than {MAX_BYTES} bytes.")
        return json.loads(b"".join(blocks))
    except OSError as error:
        raise OmniTraceError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise OmniTraceError(f"{path} is not JSON: {one_line(str(error))}.") from error


def _plain(value: Any) -> Any:
    """The data without the names of the classes that held them; no class is imported.

    Only what a sequence is called stays, as a member `granular`: whether its last axis is hidden.
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__instance_type__" in value and isinstance(value.get("attributes"), dict):
        inside = {key: _plain(item) for key, item in value["attributes"].items()}
        return inside | {"granular": "Granular" in str(value["__instance_type__"])}
    return {key: _plain(item) for key, item in value.items()}


def _trace(id: str, sequence: _Sequence, signal: str) -> Trace:
    start = sequence.attr_pos_start
    stop = len(sequence.target) if sequence.attr_pos_end is None else sequence.attr_pos_end
    if not 0 <= start <= stop <= len(sequence.target):
        raise Unreadable(f"it attributes tokens {start} to {stop} of {len(sequence.target)}")
    of_source = sequence.source_attributions is not None
    prompt = [*(sequence.source if of_source else []), *sequence.target[:start]]
    response = sequence.target[start:stop]
    if not prompt:
        raise Unreadable("it has no prompt")
    scores = _scores(sequence, len(prompt), len(response))
    steps = sequence.step_scores or {}
    return replace(
        text_trace(
            id,
            _tokens(prompt),
            _tokens(response),
            "inseq",
            {signal: SignalRows(pack_rows(scores, len(prompt)))},
        ),
        logprob=np.log(_step(steps, "probability", len(response))),
        entropy=_step(steps, "entropy", len(response)),
    )


def _scores(sequence: _Sequence, n: int, steps: int) -> Float32:
    """(T, n + T): of inseq's columns, one a generated token, the rows."""
    scores = np.zeros((steps, n + steps), np.float32)
    n_source = len(sequence.source) if sequence.source_attributions is not None else 0
    places = (
        ("source", sequence.source_attributions, 0, n_source),
        ("target", sequence.target_attributions, n_source, n + steps - n_source),
    )
    if sequence.source_attributions is None and sequence.target_attributions is None:
        raise Unreadable("it holds no attributions")
    for name, value, begin, most in places:
        if value is None:
            continue
        found = _one_a_token(_array(value), name, sequence.granular)
        if found.shape[1] != steps or found.shape[0] > most:
            raise Unreadable(f"its {name} attributions are {found.shape}, not {(most, steps)}")
        scores[:, begin : begin + found.shape[0]] = found.T
    return np.where(np.isnan(scores), np.float32(0), scores)


def _one_a_token(values: Float32, name: str, granular: bool) -> Float32:
    """(tokens, steps): the norm over the last axis if it is of hidden units, the mean over more."""
    if values.ndim < 2:
        raise Unreadable(f"its {name} attributions are {values.shape}, not tokens by steps")
    if granular and values.ndim > 2:
        values = np.linalg.norm(values, axis=-1)
    mean: Float32 = values.reshape(*values.shape[:2], -1).mean(axis=-1)
    return mean


def _array(value: Any) -> Float32:
    """A tensor as inseq writes it: base64 of a safetensors file, or nested lists of numbers."""
    if isinstance(value, str):
        found = tensors(base64.b64decode(value, validate=True))
        if "attribution" not in found:
            raise Unreadable("a tensor has no member attribution")
        return found["attribution"]
    if isinstance(value, dict):
        value = value.get("__ndarray__")
    try:
        return np.array(value, np.float32)
    except (TypeError, OverflowError) as error:
        raise Unreadable("a tensor is no array of numbers") from error


def _step(steps: dict[str, Any], name: str, count: int) -> Float32:
    if name not in steps:
        return np.full(count, np.nan, np.float32)
    found = _array(steps[name]).reshape(-1)
    if len(found) != count:
        raise Unreadable(f"it has {len(found)} values of {name} for {count} steps")
    return found


def _tokens(tokens: Sequence[_Token]) -> Tokens:
    """Ids as they are where they fit; some tokenizers have none for what they add."""
    legal = range(2**31)
    ids = [token.id if type(token.id) is int and token.id in legal else 0 for token in tokens]
    return Tokens(np.array(ids, np.int32), [token.token for token in tokens])
