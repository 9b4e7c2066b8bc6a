"""`omnitrace verify` finds whatever is harmed, names it, and finds nothing in what is sound."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omnitrace.cli import main
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.maintenance.verify import Finding, verify
from omnitrace.store import additions, commit, shards
from omnitrace.store.additions import Addition
from omnitrace.store.commit import Marker
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from tests.omnitrace.maintenance.runs import add_both, fill, sample_of
from tests.omnitrace.store.stores import change_marker, forge
from tests.omnitrace.store.test_run_damage import flip, lengthen, truncate


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples in two segments, with four files of additions."""
    path = tmp_path_factory.mktemp("pristine") / "run"
    add_both(fill(LocalFiles(path), range(4)))
    return path


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "run"))


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def damage(store: Path, deep: bool = False) -> list[Finding]:
    return [found for found in verify(LocalFiles(store), deep) if found.damage]


def segment_of(store: Path, id: str) -> str:
    return open_run(store).segment_of(id)


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_found_in_what_is_sound(pristine: Path, deep: bool) -> None:
    assert list(verify(LocalFiles(pristine), deep)) == []


def test_every_file_harmed_is_found_and_named(store: Path) -> None:
    rng = random.Random(7)
    expected = {id: sample_of(open_run(store), id) for id in open_run(store)}
    for file in files_of(store):
        sound = file.read_bytes()
        for harm in (truncate, lengthen, flip):
            file.write_bytes(harm(sound, rng))
            found = damage(store)
            assert [one.file for one in found] == [str(file)]
            assert str(file) in found[0].sentence
        assert_others_are_readable(store, file, expected)
        file.write_bytes(sound)


def assert_others_are_readable(store: Path, harmed: Path, expected: dict[str, Any]) -> None:
    """All that do not need the harmed file read as before; the harmed one is never used."""
    if harmed == store / "zarr.json":
        with pytest.raises(OmniTraceError, match=str(harmed)):
            open_run(store)
        return
    run = open_run(store)
    readable = 0
    for id in run:
        found = outcome(run, id)
        if isinstance(found, str):
            assert str(harmed) in found
            continue
        added = harmed.parent.name == "additions"
        assert found[0] == expected[id][0] if added else found == expected[id]
        readable += 1
    assert readable >= 2


def outcome(run: Run, id: str) -> Any:
    """All of a sample, or the sentence of its error."""
    try:
        return sample_of(run, id)
    except OmniTraceError as error:
        return str(error)


def test_every_file_deleted_is_found_and_named(store: Path) -> None:
    for file in files_of(store):
        sound = file.read_bytes()
        file.unlink()
        found = damage(store)
        if file.parent.name == "additions":
            assert found == []  # to delete one is how it is taken back
        else:
            assert str(file) in [one.file for one in found]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(sound)
    assert damage(store) == []


def test_any_two_files_swapped_are_found(store: Path) -> None:
    rng = random.Random(8)
    files = files_of(store)
    for _ in range(30):
        first, second = rng.sample(files, 2)
        contents = first.read_bytes(), second.read_bytes()
        if contents[0] == contents[1]:
            continue
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
        named = {one.file for one in damage(store)}
        assert named & {str(first), str(second)}
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])


def test_what_is_beside_the_run_is_a_note(store: Path) -> None:
    segment = store / "segments" / segment_of(store, "s0")
    (segment / "prompt" / "c.0.1").write_bytes(b"x")
    (store / "commits" / ".tmp-1").write_bytes(b"{")
    orphan = store / "segments" / "00000000-0000-4000-8000-000000000000"
    orphan.mkdir()
    (orphan / "zarr.json").write_text("{}")
    found = list(verify(LocalFiles(store)))
    assert not any(one.damage for one in found)
    named = {one.file for one in found}
    assert named == {
        str(segment / "prompt" / "c.0.1"),
        str(store / "commits" / ".tmp-1"),
        str(orphan),
    }


def test_links_out_of_the_run_are_damage(store: Path, tmp_path: Path) -> None:
    file = store / "segments" / segment_of(store, "s0") / "prompt" / "c.0.0"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    [found] = damage(store)
    assert found.file == str(file)
    assert "symbolic link" in found.sentence


def test_only_deep_sees_what_a_cunning_stranger_forged(store: Path) -> None:
    segment = segment_of(store, "s0")
    shard = store / "segments" / segment / "signal.attmean" / "c.0"
    forge(store, segment, "signal.attmean/c.0", b"\0" * shard.stat().st_size)
    assert damage(store) == []
    found = damage(store, deep=True)
    assert {one.file for one in found} == {str(shard)}


def test_deep_compares_the_marker_with_its_segment(store: Path) -> None:
    segment = segment_of(store, "s0")

    def lie(marker: Marker) -> dict[str, Any]:
        first, *others = marker.samples
        return {"samples": [msgspec.structs.replace(first, preview="another"), *others]}

    change_marker(store, segment, lie)
    assert damage(store) == []
    [found] = damage(store, deep=True)
    assert found.file == str(store / "commits" / f"{segment}.json")
    assert "describes sample 's0' otherwise" in found.sentence


def test_deep_checks_what_additions_say(store: Path) -> None:
    file = next(f for f in (store / "additions").iterdir() if '"kind":"tags"' in f.read_text())
    found = commit.unseal(file.read_bytes(), Addition)
    samples = [msgspec.structs.replace(s, data=msgspec.Raw(b'{"pos":[]}')) for s in found.samples]
    file.write_bytes(commit.seal(msgspec.structs.replace(found, samples=samples)))
    assert damage(store) == []
    found_now = damage(store, deep=True)
    assert [one.file for one in found_now] == [str(file)] * 2
    assert "s0" in found_now[0].sentence or "s2" in found_now[0].sentence


def test_illegal_numbers_of_a_trace_are_found_deep(store: Path) -> None:
    import numpy as np

    segment = segment_of(store, "s0")
    column = open_run(store).segments[segment].load()["sentences"].copy()
    column[0, 0] = 9999
    for file, data in shards.encode(np.asarray(column), ["char_start", "char_end"], "sentences"):
        forge(store, segment, f"sentences/{file}", data)
    assert damage(store) == []
    assert any("leaves its text" in one.sentence for one in damage(store, deep=True))


def test_a_future_run_is_one_finding(store: Path) -> None:
    root = json.loads((store / "zarr.json").read_text())
    body = root["attributes"]["omnitrace"]
    body["min_reader"] = "2.0"
    (store / "zarr.json").write_text(json.dumps(root))
    [found] = damage(store)
    assert "needs a reader of format 2.0" in found.sentence


def test_no_run_at_all_is_used_wrongly(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a run"):
        list(verify(LocalFiles(tmp_path)))
    with pytest.raises(CommandError, match="no run at"):
        open_run(tmp_path / "absent")


def test_the_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(store), "--deep"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{store}: sound.\n")
    file = store / "segments" / segment_of(store, "s0") / "prompt" / "c.0.0"
    file.write_bytes(flip(file.read_bytes(), random.Random(0)))
    assert main(["verify", str(store)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"damaged: {file}: its checksums are not what the marker says. ")
    assert len(out.splitlines()) == 1
    assert err == f"{store}: 1 damaged.\n"
    assert main(["verify", str(store), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "omnitrace.verify/1"
    assert document["sound"] is False
    assert document["findings"][0]["file"] == str(file)
    assert main(["verify", str(store / "absent")]) == 2


def test_an_addition_s_faults_are_findings(store: Path) -> None:
    file = sorted((store / "additions").iterdir())[0]
    file.write_bytes(b"{}")
    [found] = damage(store)
    assert found.file == str(file)
    assert additions.FOLDER in found.sentence
