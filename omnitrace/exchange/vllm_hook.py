"""Queries and keys that IBM's vLLM-Hook saved (`qk.json`, `qk.safetensors`) as traces of text.

A folder holds one folder a request, and that one folder a tensor-parallel rank. The saved arrays
are the inputs of vLLM's attention, after rotation: every forward pass adds a chunk of tokens, first
the prompt, in one or several chunks, then each generated token. There is one request a folder,
because the order of the chunks of several requests is not saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from omnitrace.arrays import Array, Int64
from omnitrace.attention import QUERY_KEY_ARRAYS, QueryKeys, float32_of
from omnitrace.errors import OmniTraceError
from omnitrace.exchange.safetensors import Tensors
from omnitrace.exchange.spelling import Tokens, text_trace
from omnitrace.exchange.vllm_requests import Model, Request, read_requests
from omnitrace.store.commit import ILLEGAL_JSON, Unreadable
from omnitrace.store.files import Files, LocalFiles, get_document
from omnitrace.text import one_line
from omnitrace.trace import SignalRows, Trace, pack_rows

Heads = Annotated[int, Meta(ge=1, le=2**16)]
_RANK = "tp_rank_"
_KEPT = ("F32", "F16", "BF16")


class _Config(Struct, frozen=True):
    num_attention_heads: Heads
    num_key_value_heads: Heads


class _Layer(Struct, frozen=True):
    key_q: str
    key_k: str
    layer_num: Annotated[int, Meta(ge=0, le=2**16)]


class _Saved(Struct, frozen=True):
    """`qk.json`; `seq_lens` are the tokens of each chunk."""

    config: _Config
    layer_order: Annotated[list[_Layer], Meta(min_length=1, max_length=2**16)]
    hookq_mode: Literal["all_tokens", "last_token"]
    seq_lens: Annotated[list[Annotated[int, Meta(ge=1, le=2**31 - 1)]], Meta(min_length=1)]


@dataclass(frozen=True)
class _Places:
    """The positions of rows in a tensor; `shape` is that of all its axes but the last."""

    shape: list[int]
    rows: Int64


@dataclass(frozen=True)
class _Sharded:
    """One request: the metadata that all ranks share, and each rank's tensors."""

    saved: _Saved
    ranks: list[Tensors]

    @property
    def layers(self) -> list[_Layer]:
        return sorted(self.saved.layer_order, key=lambda layer: layer.layer_num)

    def queries(self, layer: _Layer, places: _Places) -> Array:
        """(heads, T, d)."""
        return self._heads(layer.key_q, places, self.saved.config.num_attention_heads, self.ranks)

    def keys(self, layer: _Layer, places: _Places) -> Array:
        """(groups, tokens, d); ranks beyond the number of groups hold copies."""
        groups = self.saved.config.num_key_value_heads
        apart = self.ranks[:: max(1, len(self.ranks) // groups)]
        return self._heads(layer.key_k, places, groups, apart)

    def width(self, key: str) -> int:
        """Numbers a token, over all ranks."""
        return sum(rank.entries[key].shape[-1] for rank in self.ranks)

    def check(self, places: Sequence[_Places]) -> None:
        """Unreadable unless every layer has both tensors, of these shapes."""
        for rank in self.ranks:
            for layer in self.saved.layer_order:
                for key, wanted in zip((layer.key_q, layer.key_k), places, strict=True):
                    entry = rank.entries.get(key)
                    if entry is None or entry.dtype not in _KEPT:
                        raise Unreadable(f"it has no tensor {one_line(key)!r} of {_KEPT}")
                    if entry.shape[:-1] != wanted.shape or not entry.shape[-1]:
                        raise Unreadable(
                            f"{one_line(key)!r} is {entry.shape}, not {wanted.shape} by a width"
                        )

    def _heads(self, key: str, places: _Places, heads: int, ranks: list[Tensors]) -> Array:
        rows = [rank.rows(key, places.rows) for rank in ranks]
        width = sum(found.shape[1] for found in rows)
        if width % heads or len({found.dtype for found in rows}) > 1:
            raise Unreadable(f"{one_line(key)!r} is {width} wide, which is not {heads} heads")
        joined = np.concatenate(rows, axis=1)
        return joined.reshape(len(joined), heads, width // heads).swapaxes(0, 1)


def read_vllm_hook(
    folder: Path, requests: Path, max_bytes: int
) -> tuple[dict[str, Any], Iterator[tuple[Trace, str]]]:
    """What identifies the run, and (trace, key) of every line of `requests`.

    Traces are at level `qk` where every layer was saved, else at level `layers`. OmniTraceError
    naming the file where it is not legal, or the folder of a request that is not exact or takes
    more than `max_bytes`.
    """
    found = read_requests(requests)
    identity = {"imported_from": "vllm-hook", "model": found[0].model}
    return identity, _traces(LocalFiles(folder), found, max_bytes)


def _traces(
    files: Files, requests: Sequence[Request], max_bytes: int
) -> Iterator[tuple[Trace, str]]:
    for request in requests:
        try:
            if request.run_id not in files.names():
                raise Unreadable("there is no such folder; RUN_ID.txt names those that there are")
            request.config.check(len(request.prompt_token_ids) + len(request.token_ids))
            yield _trace(request, _sharded(files, request.run_id), max_bytes)
        except (Unreadable, OSError) as error:
            where = files.where(one_line(request.run_id, 100))
            raise OmniTraceError(f"{where}: {one_line(_message(error), 400)}.") from error


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"cannot read {error.filename}: {error.strerror}"
    return str(error)


def _sharded(files: Files, run_id: str) -> _Sharded:
    ranks = [name for name in files.names(run_id) if name.startswith(_RANK)]
    names = [f"{_RANK}{number}" for number in range(len(ranks))]
    if not ranks or set(ranks) != set(names):
        raise Unreadable(f"it must hold folders {_RANK}0, {_RANK}1, …, one a rank")
    saved = [_saved(files, f"{run_id}/{name}") for name in names]
    if any(one != saved[0] for one in saved):
        raise Unreadable("its ranks did not save the same layers and tokens")
    numbers = {layer.layer_num for layer in saved[0].layer_order}
    if len(numbers) < len(saved[0].layer_order):
        raise Unreadable("it names a layer twice")
    return _Sharded(saved[0], [_tensors(files, f"{run_id}/{name}") for name in names])


def _saved(files: Files, rank: str) -> _Saved:
    there = files.names(rank)
    if "qk.safetensors" not in there and "qk.pt" in there:
        raise Unreadable(
            "qk.pt is a pickle, which may run code when it is read; generate again with "
            "VLLM_HOOK_USE_SAFETENSORS=1, or save its tensors as safetensors yourself"
        )
    try:
        return msgspec.json.decode(get_document(files, f"{rank}/qk.json"), type=_Saved)
    except ILLEGAL_JSON as error:
        raise Unreadable(f"{rank.rsplit('/')[-1]}/qk.json is not legal: {error}") from error


def _tensors(files: Files, rank: str) -> Tensors:
    name = f"{rank}/qk.safetensors"
    try:
        return Tensors(partial(files.get, name), files.size(name))
    except Unreadable as error:
        raise Unreadable(f"{name.partition('/')[2]}: {error}") from error


def _trace(request: Request, sharded: _Sharded, max_bytes: int) -> tuple[Trace, str]:
    n, steps = len(request.prompt_token_ids), len(request.token_ids)
    places = _places(sharded.saved, n, steps)
    sharded.check(places)
    _check_room(request, sharded, max_bytes)
    digest = hashlib.sha256(msgspec.json.encode(request))
    inner = [_layer(sharded, layer, places, request.config) for layer in sharded.layers]
    for layer in inner:
        digest.update(np.ascontiguousarray(layer.queries).data)
        digest.update(np.ascontiguousarray(layer.keys).data)
    trace = text_trace(
        request.run_id if request.id is None else request.id,
        Tokens(np.array(request.prompt_token_ids, np.int32), request.prompt_tokens),
        Tokens(np.array(request.token_ids, np.int32), request.tokens),
        "vllm-hook",
        *_kept(inner, [layer.layer_num for layer in sharded.layers], request.config.layers),
    )
    if request.logprobs is not None:
        trace = replace(trace, logprob=np.array(request.logprobs, np.float32))
    return trace, digest.hexdigest()


def _places(saved: _Saved, n: int, steps: int) -> tuple[_Places, _Places]:
    """The places of the queries of each step and of the keys of all tokens but the last.

    Unreadable unless the chunks are those of one request with that many tokens.
    """
    lengths = saved.seq_lens
    keys, total = n + max(steps, 1) - 1, sum(lengths)
    if total not in (keys, n + steps):
        raise Unreadable(
            f"it holds {total} tokens; a request with a prompt of {n} and an answer of {steps} "
            f"has {keys} or {n + steps} (one request a folder, no prefix caching, hooks on "
            "prefill and decoding)"
        )
    counts = np.array(lengths, np.int64)
    ends = np.cumsum(counts)
    chunk = np.repeat(np.arange(len(counts)), counts)
    flat = chunk * counts.max() + np.arange(total) - (ends - counts)[chunk]
    padded = [len(lengths), max(lengths)]
    steps_at = np.arange(n - 1, n - 1 + steps)
    if saved.hookq_mode == "all_tokens":
        queries = _Places(padded, flat[steps_at])
    else:
        missing = np.setdiff1d(steps_at, ends - 1)
        if missing.size:
            raise Unreadable(
                f"the query of token {missing[0]} was not saved; use hookq_mode all_tokens"
            )
        queries = _Places([len(lengths)], np.searchsorted(ends, steps_at + 1))
    return queries, _Places(padded, flat[:keys])


def _check_room(request: Request, sharded: _Sharded, max_bytes: int) -> None:
    """Unreadable where the arrays, the rows or one layer's heads would take more memory."""
    n, steps = len(request.prompt_token_ids), len(request.token_ids)
    heads = sharded.saved.config.num_attention_heads
    arrays = sum(
        steps * sharded.width(layer.key_q) + (n + steps) * sharded.width(layer.key_k)
        for layer in sharded.layers
    )
    need = 4 * (arrays + (heads + len(sharded.layers)) * steps * (n + steps))
    if need > max_bytes:
        raise Unreadable(f"it takes {need} bytes, more than --max-bytes {max_bytes}")


def _layer(
    sharded: _Sharded, layer: _Layer, places: tuple[_Places, _Places], model: Model
) -> QueryKeys:
    """The queries and keys of one layer alone."""
    queries, keys = sharded.queries(layer, places[0]), sharded.keys(layer, places[1])
    if queries.shape[0] % keys.shape[0] or queries.shape[2] != keys.shape[2]:
        raise Unreadable(
            f"layer {layer.layer_num} has queries {queries.shape} for keys {keys.shape}"
        )
    if not all(np.isfinite(float32_of(values)).all() for values in (queries, keys)):
        raise Unreadable(f"layer {layer.layer_num} holds numbers that are not finite")
    scaling = model.attention_multiplier or queries.shape[2] ** -0.5
    return QueryKeys(queries[None], keys[None], np.array([scaling]), np.zeros(1, np.int32))


def _kept(
    inner: Sequence[QueryKeys], numbers: list[int], layers: int
) -> tuple[dict[str, SignalRows], dict[str, Array]]:
    """Signals and arrays: those of level `qk` if all layers are there, else each layer's rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.stack([layer.rows(0).mean(axis=0) for layer in inner])
    if not np.isfinite(rows).all():
        raise Unreadable("its queries and keys are too large: their attention is not finite")
    n = rows.shape[2] - rows.shape[1]
    if numbers != list(range(layers)):
        if numbers[-1] >= layers:
            raise Unreadable(f"it holds layer {numbers[-1]} of a model of {layers}")
        return {"attention": SignalRows(pack_rows(rows, n), tuple(numbers))}, {}
    signals = {
        "attmean": SignalRows(pack_rows(rows.mean(axis=0), n)),
        "rawatt": SignalRows(pack_rows(rows[-1], n)),
    }
    shapes = {(layer.queries.shape, layer.keys.shape, layer.keys.dtype) for layer in inner}
    if len(shapes) > 1:
        raise Unreadable("its layers are not alike")
    return signals, {
        name: np.concatenate([getattr(layer, field) for layer in inner])
        for name, field in QUERY_KEY_ARRAYS.items()
    }
