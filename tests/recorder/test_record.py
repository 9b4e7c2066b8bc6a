"""The recording loop: complete traces, resuming, failing samples, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitrace import CommandError, OmniTraceError, open_run
from omnitrace.progress import Progress
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Modality
from recorder import tracer as module
from recorder.config import TINY_OMNI, RecordConfig
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.record import Interruption, RecordSummary, record
from recorder.tracer import Task, Tracer
from tests.recorder.conftest import user, write_rows

CONFIG = RecordConfig(max_new_tokens=4)
ROWS = [
    {"id": "text", "messages": [user("Anna owns the lamp. Who owns the lamp?")], "answer": "Anna"},
    {"id": "pictures", "messages": [user("image:photo.png", "image:tall.jpg", "What is it?")]},
    {"id": "sound", "messages": [user("audio:speech.wav", "What is it?")]},
    {"id": "film", "messages": [user("video:film.mp4", "What is it?")]},
    {"id": "silent", "messages": [user("video:silent.mp4", "What is it?")]},
]


@pytest.fixture(autouse=True)
def loaded_once(adapter: QwenOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_adapter", lambda *_: adapter)


@pytest.fixture
def bring(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A samples file of the user's, beside (links to) the media."""
    for medium in folder.iterdir():
        if medium.suffix != ".jsonl":
            (tmp_path / medium.name).symlink_to(medium)

    def write(rows: list[dict[str, Any]]) -> Path:
        return write_rows(tmp_path, rows)

    return write


def texts(*ids: str) -> list[dict[str, Any]]:
    return [{"id": id, "messages": [user(f"What is {id}?")]} for id in ids]


def test_every_modality_is_recorded_whole(bring: Callable[..., Path], tmp_path: Path) -> None:
    seen: list[Progress] = []
    summary = record(bring(ROWS), tmp_path / "run", CONFIG, seen.append)
    assert summary == RecordSummary(total=5, skipped=0, recorded=5)
    run = open_run(tmp_path / "run")
    assert list(run) == [row["id"] for row in ROWS]
    for trace in run.values():
        assert 0 <= trace.T <= 4
        assert trace.n == len(trace.timeline)
        assert len(trace.pos) == trace.T
        assert trace.response == "".join(trace.response[a:b] for a, b in trace.chars)
        for name in ("attmean", "rawatt"):
            np.testing.assert_allclose(trace.scores(name).sum(1), np.ones(trace.T), atol=1e-5)
            assert trace.scores(name, first_step="prompt-mean").shape == (
                trace.T,
                trace.n + trace.T,
            )
        assert (trace.logprob <= 0).all()
        assert (trace.entropy >= 0).all()
    assert run["text"].meta["answer"] == "Anna"
    assert run["film"].media[0].name == "film.mp4"
    assert (run["film"].timeline.modality == Modality.AUDIO).sum() == 100
    assert {p.item for p in seen} == {"", *run}
    assert (seen[0].done, seen[-1]) == (0, Progress(5, 5))
    assert max(p.step for p in seen) <= 4


def test_a_run_says_what_made_it(bring: Callable[..., Path], tmp_path: Path) -> None:
    record(bring(ROWS[:1]), tmp_path / "run", CONFIG)
    run = open_run(tmp_path / "run")
    assert run.identity["model"] == TINY_OMNI.name
    assert run.identity["revision"].startswith("sha256:")
    assert run.identity["dtype"] == "float32"
    assert run.identity["signals"] == [
        "attfull",
        "attgrads",
        "attgrads-last",
        "attgrads-odds",
        "attgrads-positive",
        "attmean",
        "attnorm",
        "rawatt",
    ]
    assert (run.identity["level"], run.identity["attention"]) == ("tokens", "sdpa")
    assert run.identity["generation"] == {
        "max_new_tokens": 4, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 0,
    }  # fmt: skip
    meta = run["text"].meta
    assert meta["generation"] == run.identity["generation"]
    assert {"torch", "transformers", "platform", "device", "finish"} <= set(meta)


def test_sentences_of_the_prompt_keep_to_their_part(
    bring: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [{"id": "a", "messages": [user("Anna owns the lamp", "It is red. Who owns it?")]}]
    record(bring(rows), tmp_path / "run", CONFIG)
    trace = open_run(tmp_path / "run")["a"]
    assert [trace.prompt_text[a:b] for a, b in trace.prompt_sentences] == [
        "Anna owns the lamp", "It is red.", "Who owns it?",
    ]  # fmt: skip


def test_running_again_records_only_what_is_new(
    bring: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(bring(ROWS[:2]), tmp_path / "run", CONFIG)
    before = open_run(tmp_path / "run")["pictures"]
    assert record(bring(ROWS[:3]), tmp_path / "run", CONFIG) == RecordSummary(3, 2, 1)
    monkeypatch.setattr(module, "load_adapter", lambda *_: pytest.fail("loaded for nothing"))
    assert record(bring(ROWS[:3]), tmp_path / "run", CONFIG) == RecordSummary(3, 3, 0)
    run = open_run(tmp_path / "run")
    assert list(run) == ["text", "pictures", "sound"]
    assert run["pictures"].response_ids.tolist() == before.response_ids.tolist()


def test_only_the_first_samples(bring: Callable[..., Path], tmp_path: Path) -> None:
    limited = RecordConfig(max_new_tokens=4, limit=1)
    assert record(bring(texts("a", "b")), tmp_path / "run", limited).recorded == 1
    assert record(bring(texts("a", "b")), tmp_path / "run", CONFIG) == RecordSummary(2, 1, 1)


def test_changed_samples_and_media_are_refused(
    bring: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    record(bring(ROWS[:2]), tmp_path / "run", CONFIG)
    changed = [ROWS[0] | {"answer": "Boris"}, ROWS[1]]
    with pytest.raises(CommandError, match="sample 'text', one of its media or its given answer"):
        record(bring(changed), tmp_path / "run", CONFIG)
    photo = tmp_path / "photo.png"
    photo.unlink()
    photo.write_bytes((folder / "tall.jpg").read_bytes())
    with pytest.raises(CommandError, match="sample 'pictures', one of its media or its"):
        record(bring(ROWS[:2]), tmp_path / "run", CONFIG)
    photo.unlink()
    assert record(bring(ROWS[:2]), tmp_path / "run", CONFIG).skipped == 2


def test_another_configuration_needs_another_run(
    bring: Callable[..., Path], tmp_path: Path
) -> None:
    record(bring(ROWS[:1]), tmp_path / "run", CONFIG)
    with pytest.raises(OmniTraceError, match=r"generation.seed is 0 there, 1 here"):
        record(bring(ROWS[:1]), tmp_path / "run", RecordConfig(max_new_tokens=4, seed=1))


def test_samples_that_fail_are_named_and_the_rest_go_on(
    bring: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "words.wav").write_text("These are words.")
    (tmp_path / "empty.png").touch()
    data = (folder / "film.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 3])
    rows = [
        {"id": "words", "messages": [user("audio:words.wav", "What?")]},
        {"id": "empty", "messages": [user("image:empty.png", "What?")]},
        *texts("good"),
        {"id": "cut", "messages": [user("video:cut.mp4", "What?")]},
        {"id": "gone", "messages": [user("image:gone.png", "What?")]},
        {"id": "control", "messages": [user("<|IMAGE|>")]},
    ]
    seen: list[Progress] = []
    summary = record(bring(rows), tmp_path / "run", CONFIG, seen.append)
    assert summary.recorded == 1
    assert list(summary.failed) == ["words", "empty", "cut", "gone", "control"]
    files = {"words": "words.wav", "empty": "empty.png", "cut": "cut.mp4", "gone": "gone.png"}
    for id, name in files.items():
        assert str(tmp_path / name) in summary.failed[id]
        assert summary.failed[id].startswith(f"sample '{id}': ")
        assert "\n" not in summary.failed[id]
    assert list(open_run(tmp_path / "run")) == ["good"]
    assert seen[-1] == Progress(6, 6)
    (tmp_path / "empty.png").write_bytes((folder / "photo.png").read_bytes())
    again = record(bring(rows), tmp_path / "run", CONFIG)
    assert (again.skipped, again.recorded, len(again.failed)) == (1, 1, 4)


def test_a_run_that_cannot_be_written_stops_all(
    bring: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = RunWriter.add

    def full(self: RunWriter, trace: Any, key: str) -> None:
        if trace.id == "b":
            raise OmniTraceError("no space left")
        add(self, trace, key)

    monkeypatch.setattr(RunWriter, "add", full)
    with pytest.raises(OmniTraceError, match="no space left"):
        record(bring(texts("a", "b", "c")), tmp_path / "run", CONFIG)
    assert list(open_run(tmp_path / "run")) == ["a"]


def test_mistakes_are_found_before_a_run_is_made(
    bring: Callable[..., Path], tmp_path: Path
) -> None:
    for rows in ([{"id": "a"}], texts("a", "a"), [{"id": "a", "messages": [user("image:no")]}]):
        with pytest.raises(CommandError):
            record(bring(rows), tmp_path / "run", CONFIG)
    with pytest.raises(CommandError, match="cannot load the model"):
        record(bring(texts("a")), tmp_path / "run", RecordConfig(model=str(tmp_path)))
    for wrong in (
        replace(CONFIG, attn="flash_attention_2"),
        replace(CONFIG, signals="x"),
        replace(CONFIG, batch_size="0"),
    ):
        with pytest.raises(CommandError):
            record(bring(texts("a")), tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_signals_keep_what_is_finished(
    number: int, code: int, name: str, bring: Callable[..., Path], tmp_path: Path
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(at: Progress) -> None:
        if (at.item, at.step) == ("b", 2):
            os.kill(os.getpid(), number)

    samples = bring(texts("a", "b", "c"))
    with pytest.raises(CommandError) as caught:
        record(samples, tmp_path / "run", CONFIG, interrupt)
    assert caught.value.exit_code == code
    assert str(caught.value).startswith(f"stopped by {name}: 1 of 3 samples are recorded in ")
    assert list(open_run(tmp_path / "run")) == ["a"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert record(samples, tmp_path / "run", CONFIG) == RecordSummary(3, 1, 2)


def test_a_second_signal_does_not_wait() -> None:
    with Interruption() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


SCRIPT = """
import sys
from pathlib import Path
from omnitrace import CommandError
from recorder.config import RecordConfig
from recorder.record import record

def report(at):
    print(at.done, flush=True)

config = RecordConfig(sys.argv[3], max_new_tokens=8)
try:
    record(Path(sys.argv[1]), Path(sys.argv[2]), config, report)
except CommandError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_ctrl_c_in_another_process(bring: Callable[..., Path], tmp_path: Path) -> None:
    ids = [str(number) for number in range(300)]
    samples, run = bring(texts(*ids)), tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(samples), str(run), str(TINY_OMNI)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 2:
                child.send_signal(signal.SIGINT)
                break
        said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    kept = list(open_run(run))
    assert said.startswith(f"stopped by Ctrl-C: {len(kept)} of 300 samples are recorded in ")
    assert kept == ids[: len(kept)]
    assert 2 <= len(kept) < 300


def test_a_batch_leaves_the_traces_that_one_by_one_leaves(
    bring: Callable[..., Path], tmp_path: Path
) -> None:
    samples = bring(ROWS)
    record(samples, tmp_path / "one", CONFIG)
    record(samples, tmp_path / "four", replace(CONFIG, batch_size="4"))
    record(samples, tmp_path / "auto", replace(CONFIG, batch_size="auto"))
    one, four, auto = (open_run(tmp_path / name) for name in ("one", "four", "auto"))
    assert set(four) == set(auto) == set(one)
    assert dict(one.sample_keys) == dict(four.sample_keys) == dict(auto.sample_keys)
    for id, trace in one.items():
        assert four[id].response_ids.tolist() == trace.response_ids.tolist()
        for name in trace.signals:
            scores = four[id].scores(name)
            np.testing.assert_allclose(scores, trace.scores(name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: no room")],
)
def test_a_batch_that_memory_does_not_hold_is_halved(
    error: Exception,
    bring: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traces, sizes = Tracer.traces, []

    def small(self: Tracer, tasks: Any, should_continue: Any) -> Any:
        sizes.append(len(tasks))
        if len(tasks) > 1 or tasks[0].sample.id == "b":
            raise error
        return traces(self, tasks, should_continue)

    monkeypatch.setattr(Tracer, "traces", small)
    config = replace(CONFIG, batch_size="4")
    summary = record(bring(texts("a", "b", "c", "d")), tmp_path / "run", config)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert summary.recorded == 3
    assert "the device's memory does not hold it" in summary.failed["b"]
    assert set(open_run(tmp_path / "run")) == {"a", "c", "d"}


def test_other_runtime_errors_are_not_taken_for_full_memory(
    bring: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Tracer, "traces", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        record(bring(texts("a")), tmp_path / "run", CONFIG)


def test_shards_share_the_samples_out(bring: Callable[..., Path], tmp_path: Path) -> None:
    samples = bring(texts("a", "b", "c", "d", "e"))
    first = record(samples, tmp_path / "run", replace(CONFIG, shard="1/2"))
    second = record(samples, tmp_path / "run", replace(CONFIG, shard="2/2"))
    assert (first.recorded, second.recorded, second.skipped) == (3, 2, 0)
    assert set(open_run(tmp_path / "run")) == set("abcde")
    third = record(samples, tmp_path / "named", replace(CONFIG, ids="d, b"))
    assert third.recorded == 2
    assert list(open_run(tmp_path / "named")) == ["d", "b"]


def test_given_answers_are_recorded_as_they_are(bring: Callable[..., Path], tmp_path: Path) -> None:
    samples = bring(ROWS)
    record(samples, tmp_path / "said", CONFIG)
    said = open_run(tmp_path / "said")
    rows: list[dict[str, Any]] = [
        {"id": id, "token_ids": trace.response_ids.tolist()} for id, trace in said.items()
    ]
    rows[0] = {"custom_id": "text", "response": None, "error": {"message": "timeout"}}
    rows[1] = {"id": "pictures", "text": "A red circle."}
    rows[2]["token_ids"].append(10**9)
    given = write_rows(tmp_path, rows[:-1], "responses.jsonl")
    config = replace(CONFIG, responses=str(given), batch_size="2")
    summary = record(samples, tmp_path / "given", config)
    assert summary.failed["text"] == (
        "sample 'text': its request failed, so that there is no answer to record."
    )
    assert "token id 1000000000" in summary.failed["sound"]
    assert "has no line for it" in summary.failed["silent"]
    run = open_run(tmp_path / "given")
    assert run.identity["generation"] == "given"
    assert run["pictures"].response == "A red circle."
    assert run["film"].meta["finish"] == "given"
    assert run["film"].response_ids.tolist() == said["film"].response_ids.tolist()
    np.testing.assert_allclose(
        run["film"].scores("attgrads"), said["film"].scores("attgrads"), atol=1e-5, rtol=1e-5
    )
    write_rows(tmp_path, [rows[1] | {"text": "A blue circle."}], "responses.jsonl")
    with pytest.raises(CommandError, match="its given answer changed"):
        record(samples, tmp_path / "given", config)


AT_ONCE = """
from omnitrace.store.writer import RunWriter

add = RunWriter.add
RunWriter.add = lambda self, trace, key: (add(self, trace, key), self.commit())
"""


def test_killed_while_recording(bring: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL at seeded moments: what was committed stays, and running again records the rest."""
    ids = [str(number) for number in range(40)]
    samples, run = bring(texts(*ids)), tmp_path / "run"
    script = f"{AT_ONCE}\n{SCRIPT}"
    command = [sys.executable, "-c", script, str(samples), str(run), str(TINY_OMNI)]
    before: dict[str, list[int]] = {}
    for after in (3, 9):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) >= len(before) + after:
                    child.kill()
                    break
            child.communicate(timeout=60)
        found = {id: trace.response_ids.tolist() for id, trace in open_run(run).items()}
        assert open_run(run).damage == []
        assert len(before) < len(found) < 40
        assert found.items() >= before.items()
        before = found
    record(samples, run, RecordConfig(str(TINY_OMNI), max_new_tokens=8))
    whole = open_run(run)
    assert set(whole) == set(ids)
    assert all(whole[id].response_ids.tolist() == said for id, said in before.items())


@pytest.mark.parametrize("error", [CommandError, OmniTraceError])
def test_an_error_of_any_kind_costs_one_sample_alone(
    bring: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[OmniTraceError],
) -> None:
    whole = Tracer.prepare

    def prepare(tracer: Tracer, sample: Sample, *more: Any) -> Task:
        if sample.id == "b":
            raise error("the model cannot take it.")
        return whole(tracer, sample, *more)

    monkeypatch.setattr(Tracer, "prepare", prepare)
    summary = record(bring(texts("a", "b", "c")), tmp_path / "run", CONFIG)
    assert summary.failed == {"b": "sample 'b': the model cannot take it."}
    assert list(open_run(tmp_path / "run")) == ["a", "c"]
