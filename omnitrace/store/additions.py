"""What was added to a run's samples after they were recorded: segmentations, tags, ablations.

Segments are immutable, so an addition is a file of its own, `additions/<uuid>.json`, that holds
one name's data for some samples, each with the key of the recording it was made for
(docs/format.md). Knows neither what the kinds hold (kinds.py) nor who writes additions (adder.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from omnitrace.errors import Fault, SampleError
from omnitrace.store import commit
from omnitrace.store.columns import safe_json
from omnitrace.store.commit import Unreadable, Uuid, Version
from omnitrace.store.files import Files, each, get_document
from omnitrace.store.kinds import CODECS, decode
from omnitrace.text import one_line, safe_text
from omnitrace.trace import Trace

FOLDER = "additions"
LEGAL_NAME = "[a-z0-9][a-z0-9_.-]{0,63}"
_LOADED_FILES = 8

T = TypeVar("T")
Name = Annotated[str, Meta(pattern=rf"^{LEGAL_NAME}\Z")]
Place = tuple[str, int]
"""The UUID of a file, and the number of a sample in it."""


class AddedSample(Struct, frozen=True):
    """One sample of an addition; `key` is that of the recording it was made for."""

    id: str
    key: str
    data: msgspec.Raw


class Addition(Struct, frozen=True):
    """`additions/<uuid>.json`. `about` (JSON) is equal in all files of one kind and name."""

    format: Version
    store_uuid: Uuid
    addition: Uuid
    created_at: float
    created_by: dict[str, str]
    kind: str
    name: Name
    about: dict[str, Any]
    samples: list[AddedSample]


@dataclass(frozen=True)
class Added:
    """One name: its `kind`, how it was made (`about`, JSON), and the `samples` that have it."""

    kind: str
    name: str
    about: Mapping[str, Any]
    samples: frozenset[str]


def where(addition: str) -> str:
    """The name of an addition's file in the run."""
    return f"{FOLDER}/{addition}.json"


def parse(data: bytes, addition: str, store_uuid: str) -> Addition:
    """The checked document of an addition to the run `store_uuid`; Unreadable otherwise."""
    found = commit.unseal(data, Addition)
    if found.addition != addition or found.store_uuid != store_uuid:
        raise Unreadable("it belongs to another place or run")
    try:
        return msgspec.structs.replace(found, about=safe_json(found.about))
    except RecursionError as error:
        raise Unreadable("its JSON is nested too deep") from error


class Additions:
    """All that was added to the samples of a run, `keys` their sample keys by id.

    Every file is read once, and only names and places are kept; a sample's data is read again
    when it is used. What cannot be used is in `faults`.
    """

    def __init__(self, files: Files, store_uuid: str, keys: Mapping[str, str]) -> None:
        self._files = files
        self._store_uuid = store_uuid
        self.faults: list[Fault] = []
        self._about: dict[tuple[str, str], Addition] = {}
        self._places: dict[tuple[str, str], dict[str, Place]] = {}
        self._stale: dict[str, Addition] = {}
        self._load: Callable[[str], Addition] = lru_cache(_LOADED_FILES)(self.read)
        names = self._names()
        for addition, found in zip(names, each(files, self._try, names), strict=True):
            self._take(addition, found, keys)
        self._report_stale(keys)

    def __iter__(self) -> Iterator[Added]:
        """Every name, sorted by kind and name."""
        for (kind, name), places in sorted(self._places.items()):
            yield Added(kind, name, self._about[kind, name].about, frozenset(places))

    def find(self, kind: str, name: str) -> Added | None:
        """The addition of this kind and name, if there is one."""
        return next((added for added in self if (added.kind, added.name) == (kind, name)), None)

    def of(self, kind: str, trace: Trace) -> dict[str, Any]:
        """What is added to the recorded sample `trace`, by name; SampleError naming a file that is
        damaged or not legal for the sample."""
        found = {}
        for (of_kind, name), places in self._places.items():
            if of_kind == kind and trace.id in places:
                addition, number = places[trace.id]
                try:
                    data = self._load(addition).samples[number].data
                    found[name] = decode(kind, name, data, trace)
                except (OSError, Unreadable) as error:
                    raise SampleError(
                        f"{kind} '{name}' of sample '{one_line(trace.id)}' cannot be read: "
                        f"{self._files.where(where(addition))}: {safe_text(str(error))}. Put the "
                        "file back from a copy, or delete it and make it again."
                    ) from error
        return found

    def _names(self) -> list[str]:
        try:
            found = map(commit.uuid_of, self._files.names(FOLDER))
            return [addition for addition in found if addition]
        except OSError as error:
            sentence = (
                f"{self._files.where(FOLDER)} cannot be read ({error.strerror or error}): what "
                "was added to the samples is left out."
            )
            self.faults.append(Fault(FOLDER, sentence))
            return []

    def read(self, addition: str) -> Addition:
        """The file of that UUID; Unreadable or OSError if it is damaged."""
        data = get_document(self._files, where(addition))
        return parse(data, addition, self._store_uuid)

    def _try(self, addition: str) -> Addition | Exception:
        try:
            return self.read(addition)
        except (OSError, Unreadable) as error:
            return error

    def _take(self, addition: str, found: Addition | Exception, keys: Mapping[str, str]) -> None:
        """Register what a file holds; a damaged one is reported and left out."""
        if isinstance(found, Exception):
            self._report(
                addition,
                f"is damaged ({safe_text(str(found))}) and left out; put the file back from a "
                "copy, or delete it and make it again.",
            )
            return
        if found.kind not in CODECS:
            return  # a later 1.x may add what this version need not read
        first = self._about.setdefault((found.kind, found.name), found)
        if found.about != first.about:
            self._report(
                addition,
                f"was made otherwise than {where(first.addition)}, also named '{found.name}', and "
                "is left out; delete one of the two.",
            )
            return
        self._place(found, keys)

    def _place(self, found: Addition, keys: Mapping[str, str]) -> None:
        places = self._places.setdefault((found.kind, found.name), {})
        for number, sample in enumerate(found.samples):
            if keys.get(sample.id) == sample.key:
                places.setdefault(sample.id, (found.addition, number))
            elif sample.id in keys:
                self._stale[found.addition] = found

    def _report_stale(self, keys: Mapping[str, str]) -> None:
        """Report the samples for which all data were made for another recording of them."""
        for addition, found in self._stale.items():
            places = self._places[found.kind, found.name]
            lost = [s.id for s in found.samples if s.id in keys and s.id not in places]
            if lost:
                more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
                self._report(
                    addition,
                    f"was made for another recording of sample '{one_line(lost[0])}'{more}, for "
                    f"which '{found.name}' is left out; make it again.",
                )

    def _report(self, addition: str, what: str) -> None:
        name = where(addition)
        self.faults.append(Fault(name, f"{self._files.where(name)} {what}"))


class LazyMapping(Mapping[str, T], Generic[T]):
    """A mapping that is made when it is first looked at. Pickles as a plain dict."""

    def __init__(self, make: Callable[[], dict[str, T]]) -> None:
        self._make = make
        self._made: dict[str, T] | None = None

    def _all(self) -> dict[str, T]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __reduce__(self) -> tuple[type[dict[str, T]], tuple[dict[str, T]]]:
        return dict, (self._all(),)


def check(found: Addition, number: int, trace: Trace) -> None:
    """Unreadable if the data of an addition's number-th sample is not legal for it.

    `trace` is the recording of that sample. An unknown kind may hold anything.
    """
    if found.kind in CODECS:
        decode(found.kind, found.name, found.samples[number].data, trace)
