"""Every reader of foreign bytes, with inputs that it accepts and what makes checksums agree."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
from numcodecs import blosc  # type: ignore[import-untyped]

from omnitrace.config import load_toml, to_toml
from omnitrace.exchange.hdf5_read import import_hdf5
from omnitrace.exchange.hdf5_write import export
from omnitrace.exchange.inseq import read_inseq
from omnitrace.exchange.safetensors import tensors
from omnitrace.exchange.vllm_hook import read_vllm_hook
from omnitrace.progress import no_report
from omnitrace.store import additions, columns, commit, shards
from omnitrace.store.additions import Addition
from omnitrace.store.columns import COLUMNS
from omnitrace.store.run import Run
from omnitrace.trace import Trace
from recorder.ablation.requested import read_requested
from recorder.inputs.responses import read_responses
from recorder.inputs.samples import read_samples
from recorder.segmenters.transcript import PARSERS, read_transcript
from replay import ReplayConfig
from replay.evaluation.labels import read_labels
from replay.evaluation.options import read_options
from replay.evaluation.sources import read_golds
from replay.evaluation.truth import read_truths
from replay.sweep.grid import read_grid
from tests.fuzzing import Reader
from tests.omnitrace.exchange.vllm_layout import request, write_hook, write_requests
from tests.omnitrace.maintenance.runs import add_both, fill, sample
from tests.omnitrace.store.stores import MemoryFiles

SLOW = 0.2
"""The share of readers that go through a file of many parts."""


def readers(folder: Path) -> list[Reader]:
    """All of them; those that read files find them in `folder`."""
    run = run_with_everything()
    return [
        *store_readers(run),
        *file_readers(folder),
        *vllm_readers(folder),
        hdf5_reader(run, folder),
    ]


def run_with_everything() -> Run:
    files = MemoryFiles()
    add_both(fill(files, range(3)))
    return Run(files)


def store_readers(run: Run) -> list[Reader]:
    """The documents and arrays of a run."""
    content: dict[str, bytes] = run.files.content  # type: ignore[attr-defined]
    segment = run.segment_of("s0")
    marker = content[commit.marker_name(segment)]
    added = [data for name, data in content.items() if name.startswith("additions/")]
    metadata = [content[name] for name in content if name.endswith("/zarr.json")]
    arrays = [data for data in metadata if b'"array"' in data]
    traces = [sample(number) for number in range(3)]
    documents = [columns.pack(trace, "k")["sample"].tobytes() for trace in traces]

    def read_marker(data: bytes) -> None:
        commit.parse_marker(data, segment, run.store_uuid).parse_files()

    def read_addition(data: bytes) -> None:
        found = commit.unseal(data, Addition)
        additions.parse(data, found.addition, run.store_uuid)
        for number in range(len(found.samples)):
            additions.check(found, number, traces[0])

    return [
        Reader("root", lambda d: commit.parse_root(d, "here"), [content["zarr.json"]], reroot),
        Reader("marker", read_marker, [marker], reseal),
        Reader("addition", read_addition, added, reseal),
        Reader("array metadata", shards.parse_metadata, arrays),
        Reader("sample document", columns.unpack_document, documents),
        Reader("chunk", ChunkReader(), ChunkReader.seeds()),
        Reader("trace", TraceReader(traces[0]), [TraceReader.flat(trace) for trace in traces]),
    ]


def reseal(data: bytes) -> bytes:
    """A marker or an addition whose checksum agrees."""
    body = data[21:]
    return b'{"crc32c":"%08x",' % google_crc32c.value(body) + body


def reroot(data: bytes) -> bytes:
    """A root whose checksum agrees, if it is JSON at all."""
    try:
        document = json.loads(data)
        body = document["attributes"]["omnitrace"]
        body.pop("crc32c", None)
        body["crc32c"] = commit.checksum(commit.json_bytes(body, sort_keys=True))
        return commit.json_bytes(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data


class ChunkReader:
    """A shard of one chunk, its checksums right whatever the chunk holds: how blosc bears it."""

    data = np.arange(3000, dtype=np.float32) % 7

    def __init__(self) -> None:
        files = dict(shards.encode(self.data, [], "x"))
        self.metadata = shards.parse_metadata(files["zarr.json"])

    @classmethod
    def seeds(cls) -> list[bytes]:
        """Of each of blosc's own compressors, shuffled in each way."""
        names = (b"lz4", b"lz4hc", b"blosclz", b"zlib", b"zstd")
        rough = np.random.default_rng(0).random(3000, np.float32)
        return [
            blosc.compress(data, name, 5, shuffle)
            for data in (cls.data, rough)
            for name in names
            for shuffle in (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE)
        ]

    def __call__(self, chunk: bytes) -> None:
        packed = with_crc(chunk)
        index = with_crc(np.array([0, len(packed)], "<u8").tobytes())
        shard = packed + index

        def get(file: str, start: int, length: int) -> bytes:
            begin = start + len(shard) if start < 0 else start
            return shard[begin : begin + length]

        found = shards.read(self.metadata, get, 0, len(self.data))
        assert found.shape == self.data.shape


def with_crc(data: bytes) -> bytes:
    crc: int = google_crc32c.value(data)
    return data + crc.to_bytes(4, "little")


class TraceReader:
    """The decoded columns of a sample, whatever numbers they hold: how the trace is judged."""

    def __init__(self, trace: Trace) -> None:
        self.document = columns.unpack_document(columns.pack(trace, "k")["sample"].tobytes())

    @staticmethod
    def flat(trace: Trace) -> bytes:
        pieces = columns.pack(trace, "k")
        sizes = [pieces[name].shape[-1] for name in COLUMNS]
        head = np.array(sizes, "<u2").tobytes()
        return b"".join([head, *(pieces[name].tobytes() for name in COLUMNS)])

    def __call__(self, data: bytes) -> None:
        length = 2 * len(COLUMNS)
        sizes = np.frombuffer(data[:length].ljust(length, b"\0"), "<u2").tolist()
        rest = data[length:]
        pieces: dict[str, Any] = {}
        for size, (name, kind) in zip(sizes, COLUMNS.items(), strict=True):
            shape = (*([len(kind.rows)] if kind.rows else []), size)
            count = int(np.prod(shape)) * kind.dtype.itemsize
            piece, rest = rest[:count].ljust(count, b"\0"), rest[count:]
            pieces[name] = np.frombuffer(piece, kind.dtype).reshape(shape)
        columns.unpack(pieces, self.document, "s", {}, {})


CHAT = {
    "id": "a",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is shown?"},
                {"type": "image", "image": "a.png"},
                {"type": "audio", "path": "b.wav"},
            ],
        },
    ],
    "answer": {"any": ["thing"]},
}
TURNS = {
    "id": "t",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "continue_final_message": False,
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "video", "video": ["a.png", "file:///b.png"], "fps": 1, "max_pixels": 99},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Ask.",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "4"},
        {"role": "assistant", "content": "<think>x</think>y"},
    ],
}
RELEASE = [
    {"id": 1, "prompt": "P", "question": [{"text": "T"}, {"image": "a.png"}], "answer": "x"},
    {"id": "2", "question": [{"video": "c.mp4"}, {"audio": "b.wav"}], "task": "t"},
]
RESPONSES = [
    {"id": "a", "text": "An answer."},
    {"id": "a", "token_ids": [1, 2, 3]},
    {"custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"text": "x"}]}}},
    {"request_id": "a", "outputs": [{"text": "x", "token_ids": [1]}]},
]
LABELS = {
    "id": "a",
    "labels": [
        {"text_source": [0, 2], "image_source": [], "audio_source": [[0.5, 1.5]]},
        {"video_source": [[0, 1], [2, 3]]},
    ],
    "sentences": ["One.", "Two."],
    "correct": True,
}
TRUTH = {
    "id": "a",
    "answer": "One.",
    "sentences": [{"text": "One.", "evidence": [{"part": 0, "text": "x"}, {"part": 1}]}],
}
OPTIONS = {"id": "a", "options": ["red", 2], "chosen": 0, "answer": 1}
MASKS = {"schema": "omnitrace.masks/1", "of": "units", "removed": {"a": [[0, 1], []]}}
HEADER = b'{"attribution": {"dtype": "F32", "shape": [3, 1], "data_offsets": [0, 12]}}'
SAFETENSORS = len(HEADER).to_bytes(8, "little") + HEADER + np.ones(3, "<f4").tobytes()
INSEQ = {
    "info": {"attribution_method": "saliency", "model_name": "m"},
    "sequence_attributions": [
        {
            "source": [{"token": "a", "id": 1}],
            "target": [{"token": "\u0120a", "id": 1}, {"token": "<s>"}, {"token": "c", "id": 3}],
            "target_attributions": base64.b64encode(SAFETENSORS).decode(),
            "step_scores": {"probability": [0.5]},
            "attr_pos_start": 2,
            "attr_pos_end": 3,
        }
    ],
}
SRT = b"1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nYes\n"  # noqa: E501
VTT = b"WEBVTT\n\nNOTE x\n\nname\n00:01.000 --> 00:02.000 align:start\nA &amp; b\n"
GRID = b"""
base.units.audio_seconds = 2.0
[grid]
signal = ["attmean", "attgrads"]
curation.gamma = [1.0, 2.0]
[random]
samples = 3
curation.alpha = { min = 0.5, max = 1.0 }
"""
WHISPER = {"text": "x", "segments": [{"id": 0, "start": 0.0, "end": 1.5, "text": "Hello"}]}


def lines(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def file_readers(folder: Path) -> list[Reader]:
    """The files that users hand over."""

    def of_file(name: str, read: Callable[[Path], object], *seeds: bytes) -> Reader:
        path = folder / name

        def read_bytes(data: bytes) -> None:
            path.write_bytes(data)
            read(path)

        return Reader(name, read_bytes, list(seeds))

    transcripts = {".srt": [SRT], ".vtt": [VTT], ".json": [lines(WHISPER)]}
    return [
        of_file(
            "samples",
            lambda p: read_samples(p, False),
            lines(CHAT, CHAT | {"id": "b"}),
            lines(TURNS),
        ),
        of_file("samples of the release", lambda p: read_samples(p, False), lines(RELEASE)),
        of_file("responses", lambda p: read_responses(p, ["a"]), *map(lines, RESPONSES)),
        *(of_file(f"x{end}", read_transcript, *transcripts[end]) for end in PARSERS),
        of_file("labels", read_labels, lines(LABELS)),
        of_file("truths", read_truths, lines(TRUTH)),
        of_file("labels or truths", read_golds, lines(LABELS), lines(TRUTH)),
        of_file("grid", lambda p: read_grid(p, ReplayConfig()), GRID),
        of_file("options", read_options, lines(OPTIONS)),
        of_file("masks", read_requested, lines(MASKS)),
        of_file("inseq", lambda p: list(read_inseq(p)[1]), lines(INSEQ)),
        Reader("safetensors", tensors, [SAFETENSORS]),
        of_file("toml", lambda p: load_toml(ReplayConfig(), p), to_toml(ReplayConfig()).encode()),
    ]


def vllm_readers(folder: Path) -> list[Reader]:
    """The three files of a request that vLLM-Hook saved, each with the other two as they were."""
    hook = Path(tempfile.mkdtemp(dir=folder))
    generator = torch.Generator().manual_seed(0)
    chunks = [[torch.randn(n, 8, generator=generator) for n in (4, 1)] for _ in range(2)]
    write_hook(hook / "a-run", {0: (chunks[0], chunks[1])}, (2, 2))
    tokens = write_requests(hook / "tokens.jsonl", request(4, 2, 1))
    rank = hook / "a-run" / "tp_rank_0"

    def of(path: Path) -> Reader:
        whole = path.read_bytes()

        def read(data: bytes) -> None:
            path.write_bytes(data)
            try:
                list(read_vllm_hook(hook, tokens, 2**24)[1])
            finally:
                path.write_bytes(whole)

        return Reader(f"vLLM-Hook's {path.name}", read, [whole])

    return [of(path) for path in (tokens, rank / "qk.json", rank / "qk.safetensors")]


def hdf5_reader(run: Run, folder: Path) -> Reader:
    """A run in HDF5."""
    path, seeds = folder / "run.h5", []
    small = MemoryFiles()
    fill(small, range(1))
    for codec in ("gzip", "none"):
        export(Run(small), path, codec, no_report)
        seeds.append(path.read_bytes())

    def read(data: bytes) -> None:
        path.write_bytes(data)
        import_hdf5(path, MemoryFiles(), 2**24, no_report)

    return Reader("hdf5", read, seeds, share=SLOW)
