"""Runs of models whose chat templates print the day, over two days."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from omnitrace import CommandError, OmniTraceError, open_run
from omnitrace.baseline import BaselineConfig
from omnitrace.cli import main
from omnitrace.errors import SampleError
from omnitrace.store.writer import RunWriter
from recorder import identity, record
from recorder.ablation.ablate import ablate_inputs
from recorder.config import AblateConfig, RecordConfig
from recorder.identity import RecordedSamples, reload_model
from recorder.record import Recording
from tests.recorder.conftest import user, write_rows
from tests.recorder.families.models import checkpoint

library: Any = transformers
DAYS = ("2026-01-01", "2026-01-02")


@pytest.fixture(scope="module")
def config() -> RecordConfig:
    model = str(checkpoint("granite"))
    return RecordConfig(model=model, max_new_tokens=2, signals="attmean", first_step="query")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rows = [{"id": id, "messages": [user(f"Who owns {id}?")]} for id in ("lamp", "car")]
    return write_rows(tmp_path, rows)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the day of every clock that is read here."""

    def be(day: str) -> None:
        class Date(datetime.date):
            @classmethod
            def today(cls) -> Date:
                return cls.fromisoformat(day)

        class Time(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Time:
                return cls.fromisoformat(day)

        monkeypatch.setattr(identity, "date", Date)
        monkeypatch.setattr("recorder.models.day.datetime", Time)
        monkeypatch.setattr(library.utils.chat_template_utils, "datetime", Time)

    be(DAYS[0])
    return be


def prompts(run: Path, config: RecordConfig) -> list[str]:
    """The prompts of a run with what the template adds."""
    tokens = library.AutoTokenizer.from_pretrained(config.model)
    return [tokens.decode(trace.prompt_ids.tolist()) for trace in open_run(run).values()]


def old_run(samples: Path, run: Path, config: RecordConfig, patch: pytest.MonkeyPatch) -> None:
    """A run that does not keep its day, as earlier versions made them."""
    with patch.context() as patched:
        patched.setattr(record, "prints_day", lambda *_: False)
        Recording(samples, run, replace(config, limit=1)).run(lambda _: None)
    assert "date" not in open_run(run).identity


def test_a_run_that_goes_on_keeps_its_day(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    run = tmp_path / "run"
    Recording(samples, run, replace(config, limit=1)).run(lambda _: None)
    clock(DAYS[1])
    summary = Recording(samples, run, config).run(lambda _: None)
    assert (summary.skipped, summary.recorded) == (1, 1)
    assert open_run(run).identity["date"] == DAYS[0]
    assert all("Today's Date: January 01, 2026" in prompt for prompt in prompts(run, config))
    with pytest.raises(OmniTraceError, match="date is '2026-01-01' there, '2026-01-02' here"):
        Recording(samples, run, replace(config, date=DAYS[1])).run(lambda _: None)


def test_a_day_that_is_named(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    run, of_old = tmp_path / "run", replace(config, date="1999-12-31")
    Recording(samples, run, of_old).run(lambda _: None)
    assert open_run(run).identity["date"] == "1999-12-31"
    assert all("December 31, 1999" in prompt for prompt in prompts(run, config))


def test_runs_of_other_templates_have_no_day(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    other = replace(config, model=str(checkpoint("smollm")), date="1999-12-31")
    recording = Recording(samples, tmp_path / "run", other)
    recording.run(lambda _: None)
    assert "date" not in open_run(tmp_path / "run").identity
    assert recording.config.date == ""


def test_writers_of_two_days_share_a_run(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    """The second has loaded its model, as of its own day, before the first makes the run."""
    run = tmp_path / "run"
    first = Recording(samples, run, replace(config, shard="1/2"))
    clock(DAYS[1])
    second = Recording(samples, run, replace(config, shard="2/2"))
    assert second.config.date == DAYS[1]
    model = second.tracer.adapter.model
    open_writer = RunWriter.open
    made: list[Recording] = []

    def late(*given: Any) -> Any:
        if not made:
            made.append(first)
            first.run(lambda _: None)
        return open_writer(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunWriter, "open", late)
        assert second.run(lambda _: None).recorded == 1
    assert second.tracer.adapter.model is model
    assert open_run(run).identity["date"] == DAYS[0]
    assert ["January 01, 2026" in prompt for prompt in prompts(run, config)] == [True, True]


def test_ablations_and_baselines_are_told_the_runs_day(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    run = tmp_path / "run"
    Recording(samples, run, config).run(lambda _: None)
    clock(DAYS[1])
    again = AblateConfig(samples=str(samples), model=config.model, masks=2)
    assert ablate_inputs(run, again).added == 2
    asked = BaselineConfig(samples=str(samples), model=config.model)
    adapter = reload_model(open_run(run).identity, asked)
    for trace in open_run(run).values():
        assert RecordedSamples.read(str(samples)).prepare(adapter, trace).prompt.n == trace.n
    with pytest.raises(CommandError, match="as of 2026-01-01, and --date says 2026-01-02"):
        reload_model(open_run(run).identity, replace(asked, date=DAYS[1]))


def test_runs_that_do_not_keep_their_day(
    samples: Path,
    tmp_path: Path,
    config: RecordConfig,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    old_run(samples, run, config, monkeypatch)
    clock(DAYS[1])
    again = AblateConfig(samples=str(samples), model=config.model, masks=2)
    failed = ablate_inputs(run, again).failed
    assert "the day: name that of the recording with --date." in failed["lamp"]
    assert ablate_inputs(run, replace(again, date=DAYS[0])).failed == {}
    with pytest.raises(CommandError, match="name that day with --date YYYY-MM-DD"):
        Recording(samples, run, config)
    summary = Recording(samples, run, replace(config, date=DAYS[0])).run(lambda _: None)
    assert (summary.skipped, summary.recorded) == (1, 1)
    assert all("January 01, 2026" in prompt for prompt in prompts(run, config))


def test_a_changed_prompt_of_a_known_day_is_no_matter_of_the_day(
    samples: Path, tmp_path: Path, config: RecordConfig, clock: Any
) -> None:
    run = tmp_path / "run"
    Recording(samples, run, replace(config, limit=1)).run(lambda _: None)
    write_rows(tmp_path, [{"id": "lamp", "messages": [user("Who owns another lamp?")]}])
    asked = BaselineConfig(samples=str(samples), model=config.model)
    adapter = reload_model(open_run(run).identity, asked)
    with pytest.raises(SampleError, match=r"changed since\.$"):
        RecordedSamples.read(str(samples)).prepare(adapter, open_run(run)["lamp"])


def test_a_day_that_is_none(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", str(samples), "run", "--date", "1 May 2026"]) == 2
    assert (
        "--date takes a day as YYYY-MM-DD, such as 2026-01-31, not '1 May 2026'."
        in capsys.readouterr().err
    )
