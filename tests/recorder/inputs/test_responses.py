"""Given answers: every layout that is known, and every way to get it wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import CommandError
from recorder.config import RecordConfig
from recorder.inputs.responses import Response, read_responses
from recorder.inputs.samples import Sample
from recorder.record import select

IDS = ["a", "b", "c"]


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "responses.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), "utf-8")
    return path


def completion(**choice: Any) -> dict[str, Any]:
    return {"status_code": 200, "request_id": "r", "body": {"object": "x", "choices": [choice]}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "a", "text": "Yes."}, Response("Yes.")),
        ({"id": "a", "text": ""}, Response("")),
        ({"id": "a", "token_ids": [3, 4]}, Response(token_ids=(3, 4))),
        (
            {
                "custom_id": "a",
                "error": None,
                "response": completion(message={"role": "assistant", "content": "Yes."}),
            },
            Response("Yes."),
        ),
        (
            {
                "custom_id": "a",
                "response": completion(message={"content": "Yes."}, token_ids=[7]),
            },
            Response(token_ids=(7,)),
        ),
        ({"custom_id": "a", "response": completion(text="Yes.")}, Response("Yes.")),
        (
            {"request_id": "a", "outputs": [{"text": "Yes.", "token_ids": [5], "index": 0}]},
            Response(token_ids=(5,)),
        ),
        ({"custom_id": "a", "error": {"code": 1}}, Response(failure="its request failed")),
        (
            {"custom_id": "a", "response": {"status_code": 500}},
            Response(failure="its request failed"),
        ),
        ({"request_id": "a", "outputs": []}, Response(failure="it holds no answer")),
        (
            {"custom_id": "a", "response": completion(message={"content": None})},
            Response(failure="it holds no answer"),
        ),
    ],
)
def test_layouts(row: dict[str, Any], expected: Response, tmp_path: Path) -> None:
    assert read_responses(write(tmp_path, row, ""), IDS) == {"a": expected}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], "line 1: invalid JSON"),
        (["[" * 100_000], "line 1: invalid JSON"),
        ([{"id": "a"}], "line 1: a response is either a text or token_ids"),
        ([{"id": "a", "text": "x", "token_ids": [1]}], "either a text or token_ids"),
        ([{"id": "a", "words": "x"}], "line 1: .*words.*Legal layouts"),
        ([{"id": "a", "token_ids": ["x"]}], "line 1: .*Legal layouts"),
        ([3], "line 1: .*Legal layouts"),
        ([{"id": "z", "text": ""}], "line 1: there is no sample 'z'"),
        ([{"id": "a", "text": ""}, {"id": "a", "text": ""}], "line 2: the id 'a' is taken"),
        ([], "holds no responses"),
    ],
)
def test_mistakes(rows: list[Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, *rows)
    with pytest.raises(CommandError, match=message):
        read_responses(path, IDS)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read the responses"):
        read_responses(tmp_path / "none.jsonl", IDS)
    (tmp_path / "latin").write_bytes(b"\xe9\xff")
    with pytest.raises(CommandError, match="not UTF-8"):
        read_responses(tmp_path / "latin", IDS)


def test_numbered_ids_are_taken_as_text(tmp_path: Path) -> None:
    assert list(read_responses(write(tmp_path, {"id": 7, "text": "x"}), ["7"])) == ["7"]


def samples(count: int) -> list[Sample]:
    return [Sample(str(number), (), None, "") for number in range(count)]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shards_are_a_partition(parts: int) -> None:
    every = samples(10)
    shards = [select(every, RecordConfig(shard=f"{part}/{parts}")) for part in range(1, parts + 1)]
    assert sorted(s.id for shard in shards for s in shard) == sorted(s.id for s in every)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_ids_then_shard_then_limit() -> None:
    config = RecordConfig(ids="8,2,5,2,1", shard="1/2", limit=1)
    assert [s.id for s in select(samples(10), config)] == ["8"]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_no_such_shard(shard: str) -> None:
    with pytest.raises(CommandError, match="write i/N"):
        select(samples(3), RecordConfig(shard=shard))


def test_no_such_id() -> None:
    with pytest.raises(CommandError, match="no sample '12'"):
        select(samples(3), RecordConfig(ids="1,12"))
