"""The JSON documents that make a run, its root and its commit markers, parsed strictly.

Bytes in, checked structures out: versions, checksums, names and counts are verified. Knows neither
arrays nor where the bytes are stored.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Protocol, TypeVar

import google_crc32c
import msgspec
from msgspec import Meta, Struct

from omnitrace.errors import OmniTraceError
from omnitrace.text import one_line
from omnitrace.version import __version__

FORMAT = "1.0"
READS = (1, 0)
FEATURES: frozenset[str] = frozenset()

ILLEGAL_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding foreign JSON may raise."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEAD = b'{"crc32c":"%08x",'

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
Checksum = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Version = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\Z")]
FileName = Annotated[str, Meta(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*\Z")]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Root(Struct, frozen=True):
    """`attributes.omnitrace` of the run's `zarr.json`: what the run is."""

    format: Version
    min_reader: Version
    store_uuid: Uuid
    created_by: dict[str, str]
    features: list[str]
    identity: dict[str, Any]


class SampleEntry(Struct, frozen=True):
    """One sample of a marker; `modalities` counts prompt tokens by modality label."""

    id: str
    key: str
    n: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    T: Count
    preview: str
    modalities: dict[str, Count]


class FileEntry(Struct, frozen=True):
    """One file of a segment: the number of its bytes, their crc32c and sha256 in hexadecimal.

    crc32c alone is not enough. A shard is made of parts that end with their own crc32c, and such
    a part leaves crc32c's register in the same state whatever it holds: all shards whose parts
    are equally long have the same crc32c.
    """

    size: Annotated[int, Meta(ge=0)]
    crc32c: Checksum
    sha256: Digest


class Marker(Struct, frozen=True):
    """`commits/<segment>.json`: that the segment exists, and everything it consists of."""

    format: Version
    store_uuid: Uuid
    segment: Uuid
    created_at: float
    created_by: dict[str, str]
    samples: list[SampleEntry]
    files: msgspec.Raw

    def parse_files(self) -> dict[str, FileEntry]:
        """Every file of the segment by its name within it; Unreadable where it is no such table.

        Parsed separately, because opening a run does not need them.
        """
        try:
            return msgspec.json.decode(self.files, type=dict[FileName, FileEntry])
        except ILLEGAL_JSON as error:
            raise Unreadable(str(error)) from error


class Document(Protocol):
    """A sealed document; every kind has the format that it was written in."""

    @property
    def format(self) -> str: ...


D = TypeVar("D", bound=Document)


class Unreadable(Exception):
    """Why a file of a run cannot be used, and which one; callers add what to do."""

    def __init__(self, why: str, file: str = "") -> None:
        super().__init__(why)
        self.file = file


def checksum(data: bytes) -> str:
    """crc32c of `data`, eight hexadecimal digits."""
    return f"{google_crc32c.value(data):08x}"


def file_entry(blocks: Iterable[bytes]) -> FileEntry:
    """The marker's entry of a file with these bytes: size and digests."""
    size, crc, sha256 = 0, 0, hashlib.sha256()
    for block in blocks:
        size += len(block)
        crc = google_crc32c.extend(crc, block)
        sha256.update(block)
    return FileEntry(size, f"{crc:08x}", sha256.hexdigest())


def utf8(text: str) -> bytes:
    """UTF-8 of `text`; a lone surrogate, which has none, becomes U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def json_bytes(data: Any, sort_keys: bool = False) -> bytes:
    """Compact UTF-8 JSON; ValueError or TypeError for what JSON cannot hold (NaN, objects)."""
    return utf8(
        json.dumps(
            data,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=sort_keys,
        )
    )


@cache
def creator() -> dict[str, str]:
    """The versions of what writes, for `created_by`."""
    libraries = {name: version(name) for name in ("numcodecs", "numpy")}
    return {"omnitrace": __version__, "python": platform.python_version(), **libraries}


def new_root(identity: Mapping[str, Any]) -> bytes:
    """The bytes of a new run's `zarr.json`; TypeError or ValueError if identity is not JSON."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "min_reader": FORMAT,
        "store_uuid": str(uuid.uuid4()),
        "created_by": creator(),
        "features": [],
        "identity": plain(identity),
    }
    body["crc32c"] = _body_checksum(body)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"omnitrace": body}}
    return json_bytes(group) + b"\n"


def plain(data: Mapping[str, Any]) -> Any:
    """`data` as it is read back from JSON."""
    return json.loads(json_bytes(data))


def differences(there: Mapping[str, Any], here: Mapping[str, Any], width: int = 60) -> list[str]:
    """`KEY is VALUE there, VALUE here` for each key of other values; safe, cut to `width`."""
    missing = "(not set)"
    values = {key: (there.get(key, missing), here.get(key, missing)) for key in {**there, **here}}
    return [
        f"{one_line(key)} is {one_line(repr(a), width)} there, {one_line(repr(b), width)} here"
        for key, (a, b) in sorted(values.items())
        if a != b
    ]


def parse_root(data: bytes, where: str) -> Root:
    """The checked root of the run at `where`.

    Raises Unreadable if it is damaged or no root, OmniTraceError if it needs a newer reader.
    """
    try:
        document = json.loads(data)
        group = document["zarr_format"], document["node_type"]
        body = document["attributes"]["omnitrace"]
        stated = body["min_reader"], body["format"], body["created_by"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable("it does not describe an OmniTrace run") from error
    if group != (3, "group"):
        raise Unreadable("it is no Zarr v3 group")
    _check_version(where, *stated)
    try:
        agrees = body.get("crc32c") == _body_checksum(body)
    except (ValueError, RecursionError) as error:  # not JSON: NaN, or nested too deep
        raise Unreadable(f"its JSON is not legal: {error}") from error
    if not agrees:
        raise Unreadable("its checksum does not match")
    try:
        root = msgspec.convert(body, Root)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
    _check_features(where, root)
    return root


def seal(document: Struct | Mapping[str, Any]) -> bytes:
    """The bytes of a marker or an addition: one JSON object with its own checksum.

    Its first member is the crc32c of what follows: `{"crc32c":"xxxxxxxx",` is always 21 bytes,
    and the checksum covers the rest of the file.
    """
    body = msgspec.json.encode(document)[1:] + b"\n"
    head: bytes = _HEAD % google_crc32c.value(body)
    return head + body


def amend(data: bytes, **changes: Any) -> bytes:
    """A sealed document with some members changed, all others unchanged, also unknown ones.

    Unreadable if it is no JSON object.
    """
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except ILLEGAL_JSON as error:
        raise Unreadable(str(error)) from error
    if all(document.get(name) == value for name, value in changes.items()):
        return data
    document.pop("crc32c", None)
    return seal(document | changes)


def unseal(data: bytes, kind: type[D]) -> D:
    """The checked document from the bytes of `seal`; Unreadable if damaged or of another format."""
    body = data[len(_HEAD % 0) :]
    if data != _HEAD % google_crc32c.value(body) + body:
        raise Unreadable("its checksum does not match")
    try:
        found = msgspec.json.decode(data, type=kind)
    except ILLEGAL_JSON as error:
        raise Unreadable(str(error)) from error
    if _number(found.format)[0] != READS[0]:
        raise Unreadable(f"it is of format {found.format}, this run is not")
    return found


def parse_marker(data: bytes, segment: str, store_uuid: str) -> Marker:
    """The checked marker of `segment` in the run `store_uuid`; Unreadable otherwise."""
    marker = unseal(data, Marker)
    if marker.segment != segment or marker.store_uuid != store_uuid:
        raise Unreadable("it belongs to another segment or run")
    if len({sample.id for sample in marker.samples}) < len(marker.samples):
        raise Unreadable("it names a sample twice")
    return marker


def marker_name(segment: str) -> str:
    """The name of a segment's marker in the run."""
    return f"commits/{segment}.json"


def uuid_of(name: str) -> str | None:
    """The UUID that names a marker in `commits/`, or an addition; None for any other file."""
    stem = name.removesuffix(".json")
    return stem if stem != name and is_uuid(stem) else None


def is_uuid(name: str) -> bool:
    """Whether `name` may be that of a segment or an addition."""
    return _UUID.fullmatch(name) is not None


def now() -> float:
    """Seconds since the epoch, to the millisecond."""
    return round(time.time(), 3)


def _body_checksum(body: Mapping[str, Any]) -> str:
    """crc32c of the canonical JSON of every member but `crc32c` itself."""
    return checksum(json_bytes({k: v for k, v in body.items() if k != "crc32c"}, sort_keys=True))


def _check_version(where: str, needed: Any, format: Any, creator: Any) -> None:
    try:
        needs = _number(needed)
    except (ValueError, AttributeError, TypeError) as error:
        raise Unreadable(f"its min_reader {needed!r} is no version") from error
    if needs > READS:
        writer = creator.get("omnitrace", "?") if isinstance(creator, dict) else "?"
        raise OmniTraceError(
            f"the run {where} was written by omnitrace {one_line(str(writer))} in format "
            f"{one_line(str(format))} and needs a reader of format {needed}; this is omnitrace "
            f"{__version__}, which reads up to format {READS[0]}.{READS[1]}: update it to read "
            "the run."
        )


def _check_features(where: str, root: Root) -> None:
    unknown = sorted(set(root.features) - FEATURES)
    if unknown:
        raise OmniTraceError(
            f"the run {where} uses {one_line(', '.join(unknown))}, which omnitrace {__version__} "
            f"does not know; omnitrace {one_line(root.created_by.get('omnitrace', '?'))} wrote it: "
            "update to read it."
        )


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)
