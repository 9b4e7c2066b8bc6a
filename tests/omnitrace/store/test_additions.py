"""What is added to a recorded run: whole or reported, never of another recording, never silent."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.progress import no_report
from omnitrace.store import commit, kinds
from omnitrace.store.adder import Adder
from omnitrace.store.additions import Addition
from omnitrace.store.files import LocalFiles
from omnitrace.store.kinds import SEGMENTATION, TAGS
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Segmentation, Segments
from omnitrace.trace import Tagging, Trace
from recorder.adding import add_to_run
from tests.build import make_trace
from tests.omnitrace.store.stores import FullDisk, MemoryFiles, describe
from tests.omnitrace.store.test_run_damage import flip, lengthen, truncate

ABOUT = {"segmenter": "by hand", "seconds": 0.5}
IDS = ("s0", "s1", "s2", "s3", "s4")


def words(seed: int = 0, name: str = "words") -> Segmentation:
    """Two stretches of the tone, one of the film's sound."""
    tone = Segments.of([(1.5 + seed / 8, 2.5 + seed / 8, "tone"), (0.1, 0.7, f"a {seed}")])
    return Segmentation(name, {1: tone, 2: Segments.of([(0.0, 1.0, "bang")])})


def tags(trace: Trace, name: str = "other") -> Tagging:
    sentences = np.array([[0, 54], [55, len(trace.response)]], np.int32)
    return Tagging(name, ("X",) * trace.T, sentences, np.zeros((0, 2), np.int32))


def fill(files: Any) -> Run:
    with RunWriter(files, {"model": "m"}) as writer:
        for seed, id in enumerate(IDS):
            writer.add(make_trace(id, seed), f"key-{id}")
    return Run(files)


def add_words(run: Run, ids: tuple[str, ...] = IDS, batch: int = 2, **over: Any) -> None:
    with Adder(run, SEGMENTATION, "words", ABOUT | over, batch) as adder:
        for id in ids:
            adder.add(run[id], words(IDS.index(id)))


def equal(one: Segmentation, other: Segmentation) -> bool:
    return pickle.dumps(one) == pickle.dumps(other)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run of five samples with `words` in three files of 2, 2 and 1."""
    add_words(fill(LocalFiles(tmp_path / "run")))
    return tmp_path / "run"


def files_of(store: Path) -> list[Path]:
    return sorted((store / "additions").iterdir())


def holder(store: Path, id: str) -> Path:
    """The file that has `id`."""
    [file] = [file for file in files_of(store) if f'"id":"{id}"' in file.read_text()]
    return file


def forge(file: Path, change: Callable[[Addition], dict[str, Any]]) -> None:
    """Replace fields of an addition, with a checksum that agrees."""
    found = commit.unseal(file.read_bytes(), Addition)
    file.write_bytes(commit.seal(msgspec.structs.replace(found, **change(found))))


def test_what_is_added_comes_back(store: Path) -> None:
    run = open_run(store)
    assert len(files_of(store)) == 3
    for seed, id in enumerate(IDS):
        assert equal(run[id].segmentations["words"], words(seed))
        assert describe(run[id]) == describe(make_trace(id, seed))
        assert dict(run[id].taggings) == {}
    [added] = run.additions
    assert (added.kind, added.name, added.about) == (SEGMENTATION, "words", ABOUT)
    assert added.samples == set(IDS)
    assert run.damage == []


def test_tags_come_back_and_take_the_place_of_the_recorded(store: Path) -> None:
    run = open_run(store)
    assert run.damage == []
    with Adder.open(store, TAGS, "other", {}) as adder:
        adder.add(run["s0"], tags(run["s0"]))
    assert dict(run["s0"].taggings) == {}, "what was added since is there after refresh"
    run.refresh()
    trace = run["s0"].tagged("other")
    assert trace.pos == ("X",) * trace.T
    assert trace.sentences.tolist() == [[0, 54], [55, len(trace.response)]]
    assert trace.prompt_sentences.shape == (0, 2)
    assert run["s0"].tagged("").pos == make_trace("s0").pos
    with pytest.raises(SampleError, match="sample 's1' has no tags 'other'"):
        run["s1"].tagged("other")


def test_any_medium_will_do_and_listing_samples_reads_no_addition() -> None:
    asked: list[str] = []

    class Watched(MemoryFiles):
        def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
            asked.append(name)
            return super().get(name, start, length)

    files = Watched()
    add_words(fill(files))
    asked.clear()
    run = Run(files)
    assert list(run) == list(IDS)
    assert len(run.summary()) == 5
    trace = run["s3"]
    assert not [name for name in asked if name.startswith("additions/")]
    assert equal(trace.segmentations["words"], words(3))


def test_a_trace_takes_what_was_added_with_it_when_it_is_pickled(store: Path) -> None:
    trace = pickle.loads(pickle.dumps(open_run(store)["s2"]))
    assert type(trace.segmentations) is dict
    assert equal(trace.segmentations["words"], words(2))


def test_text_is_made_safe_as_it_is_read(store: Path) -> None:
    added = Segmentation("odd", {1: Segments.of([(0, 1, "\x1b[2J \u202e 日本")])})
    run = open_run(store)
    with Adder.open(store, SEGMENTATION, "odd", {"by\x1b": "\x07"}) as adder:
        adder.add(run["s0"], added)
    run.refresh()
    assert run["s0"].segmentations["odd"].media[1].text == ("�[2J � 日本",)
    assert [added.about for added in run.additions if added.name == "odd"] == [{"by�": "�"}]


@pytest.mark.parametrize("harm", [flip, truncate, lengthen])
def test_a_harmed_file_is_reported_and_the_rest_is_usable(
    store: Path, harm: Callable[[bytes, random.Random], bytes]
) -> None:
    rng = random.Random(harm.__name__)
    for file in files_of(store):
        sound = file.read_bytes()
        lost = {id for id in IDS if f'"id":"{id}"' in file.read_text()}
        for _ in range(20):
            file.write_bytes(harm(sound, rng))
            run = open_run(store)
            [sentence] = run.damage
            assert str(file) in sentence
            assert {id for id in IDS if "words" not in run[id].segmentations} == lost
        file.write_bytes(sound)
    assert open_run(store).damage == []


def test_damage_after_listing_is_an_error_naming_the_file(store: Path) -> None:
    run = open_run(store)
    assert run.damage == []
    file = holder(store, "s0")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(OmniTraceError, match="checksum") as caught:
        dict(run["s0"].segmentations)
    assert str(file) in str(caught.value)
    assert equal(run["s4"].segmentations["words"], words(4))


def test_a_file_in_the_place_of_another_is_reported(store: Path) -> None:
    first, second, _ = files_of(store)
    first.write_bytes(second.read_bytes())
    [sentence] = open_run(store).damage
    assert str(first) in sentence
    assert "belongs to another place" in sentence


def test_a_file_of_another_run_is_reported(store: Path) -> None:
    file = files_of(store)[0]
    forge(file, lambda _: {"store_uuid": file.stem})
    [sentence] = open_run(store).damage
    assert f"{file} is damaged (it belongs to another place or run)" in sentence


def test_an_addition_counts_for_the_very_recording_it_was_made_for(store: Path) -> None:
    forge(
        holder(store, "s1"),
        lambda found: {
            "samples": [
                msgspec.structs.replace(s, key="old") if s.id == "s1" else s for s in found.samples
            ]
        },
    )
    run = open_run(store)
    [sentence] = run.damage
    assert "another recording of sample 's1'" in sentence
    assert "words" not in run["s1"].segmentations
    assert "words" in run["s0"].segmentations
    add_words(run, ("s1",))
    run.refresh()
    assert equal(run["s1"].segmentations["words"], words(1))
    assert run.damage == []


def test_files_of_one_name_that_were_made_otherwise_are_reported(store: Path) -> None:
    last = files_of(store)[-1]
    forge(last, lambda _: {"about": {"segmenter": "another"}})
    [sentence] = open_run(store).damage
    assert str(last) in sentence
    assert "made otherwise" in sentence


def test_json_nested_too_deep_is_damage(store: Path) -> None:
    file = holder(store, "s4")
    for depth in (900, 5000):
        nested = b"[" * depth + b"]" * depth
        body = file.read_bytes()[21:].replace(b"0.5", nested)
        deep = b'{"crc32c":"%s",' % commit.checksum(body).encode() + body
        sound = file.read_bytes()
        file.write_bytes(deep)
        run = open_run(store)
        [sentence] = run.damage
        assert str(file) in sentence
        assert "words" in run["s0"].segmentations
        file.write_bytes(sound)


def test_kinds_and_files_of_a_later_version_are_not_our_business(store: Path) -> None:
    forge(holder(store, "s4"), lambda _: {"kind": "smell"})
    (store / "additions" / "notes.txt").write_text("by hand")
    run = open_run(store)
    assert run.damage == []
    assert [added.samples for added in run.additions] == [{"s0", "s1", "s2", "s3"}]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"media":[{"medium":7,"start_s":[],"end_s":[],"text":[]}]}', "medium 7"),
        (b'{"media":[{"medium":1,"start_s":[1],"end_s":[],"text":["a"]}]}', "as many starts"),
        (b'{"media":[{"medium":1,"start_s":[2],"end_s":[1],"text":["a"]}]}', "from 2 to 1 s"),
        (b'{"media":[{"medium":1,"start_s":[2,1],"end_s":[3,3],"text":["",""]}]}', "order"),
        (b'{"media":[{"medium":1,"start_s":[null],"end_s":[1],"text":["a"]}]}', "float"),
        (b'{"media":7}', "array"),
        (b'{"media":[{"medium":%d,"start_s":[],"end_s":[],"text":[]}]}' % (2**70), "medium"),
    ],
)
def test_a_segmentation_that_is_not_legal_is_an_error(store: Path, data: bytes, says: str) -> None:
    file = holder(store, "s0")
    forge(
        file,
        lambda found: {
            "samples": [
                msgspec.structs.replace(s, data=msgspec.Raw(data) if s.id == "s0" else s.data)
                for s in found.samples
            ]
        },
    )
    run = open_run(store)
    with pytest.raises(OmniTraceError, match=says) as caught:
        dict(run["s0"].segmentations)
    assert str(file) in str(caught.value)
    assert "words" in run["s1"].segmentations


def test_nothing_illegal_is_written(store: Path) -> None:
    run = open_run(store)
    trace = run["s0"]
    far = Segmentation("odd", {9: Segments.of([(0, 1, "")])})
    adder = Adder.open(store, SEGMENTATION, "odd", {})
    with pytest.raises(OmniTraceError, match="medium 9"):
        adder.add(trace, far)
    wrong = [
        (replace(tags(trace), pos=("X",)), "1 POS tags for"),
        (replace(tags(trace), sentences=np.array([[0, 10**6]], np.int32)), "leave their text"),
        (replace(tags(trace), sentences=np.array([[0, 9], [5, 12]], np.int32)), "overlap"),
    ]
    with Adder.open(store, TAGS, "odd", {}) as adder:
        for tagging, says in wrong:
            with pytest.raises(OmniTraceError, match=says):
                adder.add(trace, tagging)
    assert len(files_of(store)) == 3


def test_a_name_made_otherwise_is_refused_and_says_how_they_differ(store: Path) -> None:
    with pytest.raises(CommandError, match=r"seconds is 0\.5 there, 0\.7 here.*another --name"):
        Adder.open(store, SEGMENTATION, "words", ABOUT | {"seconds": 0.7})
    for name in ("", "Words", "../x", "a" * 65):
        with pytest.raises(CommandError, match="is not legal"):
            Adder.open(store, SEGMENTATION, name, {})


def test_a_killed_writer_keeps_its_batches_and_resumes(store: Path) -> None:
    asked = iter(IDS[:3])

    def stopped(trace: Trace) -> Segmentation:
        if next(asked, None) is None:
            raise KeyboardInterrupt
        return words(name="again")

    with (
        pytest.raises(KeyboardInterrupt),
        Adder.open(store, SEGMENTATION, "again", {}, batch=2) as adder,
    ):
        add_to_run(adder, IDS, stopped, no_report)
    assert Adder.open(store, SEGMENTATION, "again", {}).done == {"s0", "s1", "s2"}


def test_a_full_disk_loses_one_batch() -> None:
    files = FullDisk(operations_left=10**6)
    run = fill(files)
    files.operations_left = 1
    with pytest.raises(OmniTraceError, match=r"additions/.*No space left.*2 samples"):
        add_words(run)
    again = Run(MemoryFiles(files.content))
    assert again.damage == []
    [added] = again.additions
    assert added.samples == {"s0", "s1"}


times = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(times, times, st.text())))
def test_any_legal_stretches_survive(pieces: list[tuple[float, float, str]]) -> None:
    legal = [(min(a, b), max(a, b), text) for a, b, text in pieces]
    segments = Segments.of(legal)
    assert sorted(legal) == sorted(
        zip(segments.start_s.tolist(), segments.end_s.tolist(), segments.text, strict=True)
    )
    trace = make_trace()
    data = kinds.encode(SEGMENTATION, Segmentation("x", {1: segments}), trace)
    back = kinds.decode(SEGMENTATION, "x", data, trace).media[1]
    assert back.start_s.tobytes() == segments.start_s.tobytes()
    assert back.end_s.tobytes() == segments.end_s.tobytes()


@pytest.mark.parametrize("piece", [(-1, 1, ""), (2, 1, ""), (0, np.inf, ""), (np.nan, 1, "")])
def test_a_time_that_is_none_is_refused(piece: tuple[float, float, str]) -> None:
    with pytest.raises(ValueError, match=r"stretch|finite"):
        Segments.of([piece])
