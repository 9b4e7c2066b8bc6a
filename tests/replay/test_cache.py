"""Kept masses are those that would be computed, or none."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from omnitrace import OmniTraceError, Run, open_run
from omnitrace.arrays import Float32
from omnitrace.store.writer import RunWriter
from omnitrace.units import UnitConfig
from replay import PRESETS, Replayer
from replay.cache import MassCache, default_folder, mass_id
from replay.config import MassStage, ScoreStage, TokenConfig, stage
from replay.prior import prior_of, write_prior
from replay.rows import rows_of
from tests.build import make_trace

PAPER = PRESETS["paper"]
SHAPE = (3, 2)
VALUES: Float32 = (np.arange(6) / 7).astype(np.float32).reshape(SHAPE)
STAGES = stage(PAPER, ScoreStage), stage(PAPER, MassStage)
ID = mass_id("recording", make_trace().units(UnitConfig()), *STAGES)


def never() -> Float32:
    raise AssertionError("it should have been kept")


def only_file(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_a_mass_is_kept_on_disk_bit_for_bit(tmp_path: Path) -> None:
    made = MassCache(tmp_path).get(ID, SHAPE, VALUES.copy)
    kept = MassCache(tmp_path).get(ID, SHAPE, never)
    assert kept.tobytes() == made.tobytes() == VALUES.tobytes()
    assert (kept.dtype.name, kept.shape, kept.flags.writeable) == ("float32", SHAPE, False)


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (0, 0)])
def test_empty_masses(tmp_path: Path, shape: tuple[int, int]) -> None:
    MassCache(tmp_path).get(ID, shape, lambda: np.zeros(shape, np.float32))
    assert MassCache(tmp_path).get(ID, shape, never).shape == shape


def damages(data: bytes) -> Iterator[bytes]:
    yield from (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data)))
    yield from (data[:size] for size in range(len(data)))
    yield data + b"\0"


def test_any_damage_is_as_good_as_no_file(tmp_path: Path) -> None:
    MassCache(tmp_path).get(ID, SHAPE, VALUES.copy)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for damaged in damages(whole):
        path.write_bytes(damaged)
        assert np.array_equal(MassCache(tmp_path).get(ID, SHAPE, VALUES.copy), VALUES)
        assert path.read_bytes() == whole


def test_a_file_of_another_mass_or_shape_is_not_used(tmp_path: Path) -> None:
    MassCache(tmp_path).get(ID, SHAPE, VALUES.copy)
    path = only_file(tmp_path)
    other = bytes(32)
    stray = tmp_path / other.hex()[:2] / other.hex()
    stray.parent.mkdir()
    path.rename(stray)
    zeros = np.zeros(SHAPE, np.float32)
    assert np.array_equal(MassCache(tmp_path).get(other, SHAPE, zeros.copy), zeros)
    assert MassCache(tmp_path).get(other, (2, 3), zeros.reshape(2, 3).copy).shape == (2, 3)


def test_a_place_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = MassCache(tmp_path / "file")
    assert np.array_equal(cache.get(ID, SHAPE, VALUES.copy), VALUES)
    assert np.array_equal(cache.get(ID, SHAPE, never), VALUES)
    cache.prune()


def test_memory_holds_what_was_used_last() -> None:
    cache = MassCache(memory=2 * VALUES.nbytes)
    for name in (b"a", b"b", b"a", b"c"):
        cache.get(name, SHAPE, VALUES.copy)
    cache.get(b"a", SHAPE, never)
    cache.get(b"c", SHAPE, never)
    with pytest.raises(AssertionError):
        cache.get(b"b", SHAPE, never)
    big = np.zeros((9, 9), np.float32)
    assert cache.get(b"big", big.shape, big.copy).shape == (9, 9)
    cache.get(b"c", SHAPE, never)


def test_pruning_removes_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = MassCache(tmp_path, memory=0)
    ids = [bytes([number]) * 32 for number in range(4)]
    for age, id in enumerate(ids):
        cache.get(id, SHAPE, VALUES.copy)
        os.utime(tmp_path / id.hex()[:2] / id.hex(), (age, age))
    size = only_file(tmp_path / "00").stat().st_size
    cache.get(ids[0], SHAPE, never)
    cache.prune(2 * size)
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {ids[0].hex(), ids[3].hex()}


def test_many_writers_of_one_mass(tmp_path: Path) -> None:
    def write() -> None:
        for _ in range(20):
            assert np.array_equal(MassCache(tmp_path).get(ID, SHAPE, VALUES.copy), VALUES)

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(MassCache(tmp_path).get(ID, SHAPE, never), VALUES)
    assert only_file(tmp_path)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMNITRACE_CACHE", "")
    assert default_folder() is None
    monkeypatch.setenv("OMNITRACE_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("OMNITRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "omnitrace" / "masses"


def test_it_goes_to_other_processes_empty(tmp_path: Path) -> None:
    cache = MassCache(tmp_path)
    cache.get(ID, SHAPE, VALUES.copy)
    assert len(pickle.dumps(cache)) < 1000
    assert np.array_equal(pickle.loads(pickle.dumps(cache)).get(ID, SHAPE, never), VALUES)


def stored(path: Path, *seeds: int) -> Run:
    """A run of samples of one name a seed, of one store and with the same keys."""
    with RunWriter.open(path, {"model": "tiny"}) as writer:
        for number, seed in enumerate(seeds):
            writer.add(make_trace(f"sample-{number}", seed), f"key-{number}")
    return open_run(path)


def replayer(run: Run, id: str, cache: MassCache) -> Replayer:
    return Replayer(run[id], cache, run.vouched(id))


def test_replays_from_the_cache_are_those_without(tmp_path: Path) -> None:
    run, cache = stored(tmp_path / "run", 0, 1), MassCache(tmp_path / "cache", memory=0)
    configs = [*PRESETS.values(), replace(PAPER, reduce="lift"), replace(PAPER, signal="rawatt")]
    for _ in range(2):
        for id in run:
            for config in configs:
                kept = replayer(run, id, cache).attribute(config)
                fresh = Replayer(run[id]).attribute(config)
                assert kept.mass.tobytes() == fresh.mass.tobytes()
                assert kept.spans == fresh.spans


def test_a_recording_of_the_same_name_and_key_has_masses_of_its_own(tmp_path: Path) -> None:
    cache = MassCache(tmp_path / "cache")
    honest = stored(tmp_path / "honest", 0)
    other = stored(tmp_path / "other", 1)
    assert honest.sample_keys == other.sample_keys
    assert honest.vouched("sample-0") != other.vouched("sample-0")
    for run in (honest, other, honest):
        kept = replayer(run, "sample-0", cache).mass(PAPER)
        assert np.array_equal(kept, Replayer(run["sample-0"]).mass(PAPER))


def test_a_damaged_recording_is_not_read_for_a_mass_that_it_vouches_for(tmp_path: Path) -> None:
    cache = MassCache(tmp_path / "cache")
    kept = replayer(stored(tmp_path / "run", 0), "sample-0", cache).mass(PAPER)
    for shard in (tmp_path / "run").rglob("signal.attmean/c.*"):
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    run = open_run(tmp_path / "run")
    assert replayer(run, "sample-0", cache).mass(PAPER).tobytes() == kept.tobytes()
    with pytest.raises(OmniTraceError, match="cannot be read"):
        replayer(run, "sample-0", MassCache()).mass(PAPER)


def test_the_code_that_computes_masses_is_part_of_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    units = make_trace().units(UnitConfig())
    before = mass_id("recording", units, *STAGES)
    assert before == mass_id("recording", units, *STAGES)
    monkeypatch.setattr("replay.cache.code_id", lambda: "other code")
    assert mass_id("recording", units, *STAGES) != before


def test_what_is_taken_off_the_rows_is_part_of_the_id(tmp_path: Path) -> None:
    trace, file = make_trace("a"), tmp_path / "prior.json"
    other = make_trace("b", 1)
    none = np.zeros(trace.n, np.bool_)
    write_prior(file, "attmean", {"b": prior_of(other, rows_of(other, PAPER), none)})
    tokens = (
        TokenConfig(),
        TokenConfig(heaviest=2),
        TokenConfig(heaviest=3),
        TokenConfig(baseline="mean"),
        TokenConfig(baseline="usual"),
        TokenConfig(baseline="usual", quantile=0.9),
        TokenConfig(prior=str(file)),
        TokenConfig(prior=str(file), prior_use="divide"),
    )
    configs = [replace(PAPER, tokens=one) for one in tokens]
    configs += [
        replace(PAPER, units=replace(PAPER.units, request=one)) for one in ("unnamed", "leave-out")
    ]
    for _ in range(2):  # made, then read
        cached = Replayer(trace, MassCache(tmp_path / "masses"), "recording")
        for config in configs:
            found, fresh = cached.attribute(config), Replayer(trace).attribute(config)
            assert found.mass.tobytes() == fresh.mass.tobytes()
            assert found.places.tobytes() == fresh.places.tobytes()
    assert len([*(tmp_path / "masses").glob("??/*")]) == len(configs)
    write_prior(file, "attmean", {"b": prior_of(trace, rows_of(trace, PAPER), none)})
    changed = Replayer(trace, MassCache(tmp_path / "masses"), "recording").mass(configs[6])
    assert changed.tobytes() == Replayer(trace).mass(configs[6]).tobytes()
