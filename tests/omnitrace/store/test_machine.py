"""A run against a dictionary: any order of writing, committing, being killed, running out of room,
collecting, merging, copying and reopening leaves exactly what was committed, bit for bit."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from omnitrace.errors import OmniTraceError
from omnitrace.maintenance.copy import copy, merge
from omnitrace.maintenance.gc import collect
from omnitrace.maintenance.orphans import orphans
from omnitrace.maintenance.verify import verify
from omnitrace.progress import no_report
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import SEGMENTATION
from omnitrace.store.run import Run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from tests.golden.make import short_trace
from tests.omnitrace.maintenance.runs import IDENTITY, words
from tests.omnitrace.store.stores import MemoryFiles, describe

HOUR = 3600.0
ENDLESS = 10**9
"""Operations; more than any test makes."""


class Killed(BaseException):
    """The process is no more: nothing of it runs any further."""


@dataclass
class Mortal(MemoryFiles):
    """Memory whose user is killed at an operation, or refused room from it on.

    The file that is being put is half there, but what is put whole or not at all: of it the one
    or the other, as `luck` has it.
    """

    left: int = ENDLESS
    luck: bool = True
    dies: bool = True

    def put(self, name: str, data: bytes) -> None:
        super().put(name, data[: len(data) // 2])
        self._spend()
        self.content[name] = data

    def sync(self) -> None:
        self._spend()

    def put_if_absent(self, name: str, data: bytes) -> bool:
        if self.left <= 0 and self.dies and self.luck:
            super().put_if_absent(name, data)
        self._spend()
        return super().put_if_absent(name, data)

    def remove(self, name: str) -> None:
        if self.left < 0 and self.dies:
            raise Killed
        super().remove(name)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed if self.dies else OSError(errno.ENOSPC, "No space left on device")


def trace_of(number: int) -> Trace:
    return replace(short_trace(f"s{number}", steps=number % 4), meta={"number": number})


class RunMachine(RuleBasedStateMachine):
    """`model`: what must be in the run, sample id → number; `buffer`: what a writer has not
    committed; `added`: the samples that have words."""

    @initialize()
    def begin(self) -> None:
        self.files = MemoryFiles()
        self.model: dict[str, int] = {}
        self.added: set[str] = set()
        self.next = 0
        self.open_writers()

    def open_writers(self) -> None:
        """Two that know of one another only what was committed when they began."""
        self.disk = Mortal(self.files.content, dies=False)
        self.writers = [RunWriter(files, IDENTITY) for files in (self.files, self.disk)]
        self.buffers: list[dict[str, int]] = [{}, {}]

    @rule(which=st.integers(0, 1), count=st.integers(1, 3))
    def write(self, which: int, count: int) -> None:
        for _ in range(count):
            trace = trace_of(self.next)
            self.writers[which].add(trace, f"key {self.next}")
            self.buffers[which][trace.id] = self.next
            self.next += 1

    @precondition(lambda self: self.buffers[0] and self.buffers[0] != self.buffers[1])
    @rule()
    def write_the_same(self) -> None:
        """Both writers record a sample that neither has committed."""
        id, number = next(iter(self.buffers[0].items()))
        if id not in self.buffers[1] and id not in self.writers[1].done:
            self.writers[1].add(trace_of(number), f"key {number}")
            self.buffers[1][id] = number

    @rule(which=st.integers(0, 1))
    def commit(self, which: int) -> None:
        self.writers[which].commit()
        self.model |= self.buffers[which]
        self.buffers[which] = {}

    @precondition(lambda self: self.buffers[0])
    @rule(operations=st.integers(0, 40), luck=st.booleans())
    def be_killed(self, operations: int, luck: bool) -> None:
        mortal = Mortal(self.files.content, luck=luck)
        writer = RunWriter(mortal, IDENTITY)
        again = {id: n for id, n in self.buffers[0].items() if id not in writer.done}
        for number in again.values():
            writer.add(trace_of(number), f"key {number}")
        before = set(self.files.names("commits"))
        mortal.left = operations
        with suppress(Killed):
            writer.commit()
        if set(self.files.names("commits")) - before:
            self.model |= again
        self.open_writers()

    @precondition(lambda self: self.buffers[1])
    @rule(operations=st.integers(0, 40))
    def run_out_of_room(self, operations: int) -> None:
        """The segment is dropped with a sentence; nothing of it stays but for the last moment."""
        self.disk.left = operations
        try:
            self.writers[1].commit()
            self.model |= self.buffers[1]
        except OmniTraceError as error:
            message = str(error)
            assert "No space left on device" in message
        self.buffers[1] = {}
        self.disk.left = ENDLESS

    @rule()
    def add_words(self) -> None:
        run = Run(self.files)
        with Adder(run, SEGMENTATION, "words", {"by": "hand"}, 2) as adder:
            for id in run:
                if id not in adder.done:
                    adder.add(run[id], replace(words(id), media={}))
        self.added = set(run)

    @rule()
    def collect(self) -> None:
        list(collect(self.files, -1, dry_run=False))
        assert list(orphans(self.files)) == []

    @rule()
    def copy(self) -> None:
        target = MemoryFiles()
        copy(self.files, target, no_report)
        committed = {
            name: data
            for name, data in self.files.content.items()
            if not any(name.startswith(orphan.name) for orphan in orphans(self.files))
        }
        assert target.content == committed
        self.files = target
        self.open_writers()

    @rule(numbers=st.lists(st.integers(0, 30), max_size=3, unique=True))
    def merge(self, numbers: list[int]) -> None:
        """Another run of the same kind joins this one; some of its samples are here already."""
        other = MemoryFiles()
        with RunWriter(other, IDENTITY) as writer:
            for number in numbers:
                writer.add(trace_of(number), f"key {number}")
        merge([other], self.files, no_report)
        self.model |= {f"s{number}": number for number in numbers}
        self.next = max([self.next, *(number + 1 for number in numbers)])
        self.open_writers()

    @invariant()
    def holds_what_was_committed(self) -> None:
        run = Run(self.files)
        assert run.damage == []
        assert set(run) == set(self.model)
        for id, number in self.model.items():
            assert run.sample_keys[id] == f"key {number}"
            assert describe(run[id]) == describe(trace_of(number))
        assert {id for id in run if run[id].segmentations} == self.added
        harm = [found.sentence for found in verify(self.files) if found.damage]
        assert all("is absent, but all that it vouched for" in message for message in harm)


TestRunMachine: Any = RunMachine.TestCase
TestRunMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def test_the_clock_of_a_writer_does_not_matter(monkeypatch: Any) -> None:
    """Clocks an hour apart, one of them set back: everything is there, in an order that holds."""
    files = MemoryFiles()
    for number, skew in enumerate((HOUR, 0.0, -HOUR, 10 * HOUR, -1e9)):
        monkeypatch.setattr(time, "time", lambda skew=skew: 2e9 + skew)
        with RunWriter(files, IDENTITY) as writer:
            writer.add(trace_of(number), f"key {number}")
    run = Run(files)
    assert list(run) == ["s4", "s2", "s1", "s0", "s3"]
    assert list(Run(files)) == list(run)
    assert list(verify(files, deep=True)) == []
