"""`omnitrace benchmark`: attribution methods on planted evidence, or on a user's model and data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from math import isnan
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import Run, open_run
from omnitrace.cli.console import (
    narrate,
    narrate_failures,
    out,
    plain,
    print_json,
    progress_bar,
    table,
)
from omnitrace.config import load_toml
from omnitrace.errors import CommandError, nearest
from omnitrace.samples import each_sample, sample_sentence
from omnitrace.text import one_line
from recorder.cli.output import loading
from recorder.config import AblateConfig, RecordConfig
from recorder.inputs.responses import read_responses
from recorder.inputs.samples import Sample, read_samples
from recorder.models.checkpoint import find_checkpoint
from replay.evaluation import COLUMNS, Gold, golds_of_truths, read_truths
from replay.evaluation.known import Known, read_known
from replay.methods.leaderboard import CAUSAL, ENTRIES, Entry, Standing, leaderboard, to_json

SCHEMA = "omnitrace.leaderboard/1"


PLANTED = 2
"""Planted samples of each modality and axis where no number is given."""


@dataclass(frozen=True)
class OwnOptions:
    """Which model and data of the user's own take the place of planted ones.

    Parameters
    ----------
    model
        a model folder, GGUF file, PEFT adapter folder or hub id: record it on --samples and
        compare the methods there
    evidence
        with --model: what is true of the samples, a labels file or a truth file as `omnitrace
        evaluate` takes them, or an evidence file as `omnitrace gate` takes it
    responses
        with --model: JSON lines of answers to record instead of generating any
    recording
        with --model: a TOML file of keys of `omnitrace record`, such as level, device or
        max_new_tokens
    """

    model: str = ""
    evidence: Path | None = None
    responses: Path | None = None
    recording: Path | None = None


@dataclass(frozen=True)
class PlantedOptions:
    """Which samples are made, and recorded with the bundled model.

    Parameters
    ----------
    modality
        only this modality: text, image, audio or video; may be given several times
    axis
        only this axis: plain, units, distractors, near-duplicates, length, two or absent; may be
        given several times
    split
        whose seeds: choose, to choose settings on; test, for numbers that are reported; confirm,
        for those of what was changed after test was looked at
    masks
        ablations a sample, with --model too
    """

    samples: Annotated[int, Parameter(parse=False)] = PLANTED
    modality: tuple[str, ...] = ()
    axis: tuple[str, ...] = ()
    split: Literal["choose", "test", "confirm"] = "test"
    masks: Annotated[int, Parameter(validator=Number(gte=8, lte=4096))] = 64


@dataclass(frozen=True)
class CompetingOptions:
    """Which methods are compared.

    Parameters
    ----------
    method
        only this entry of the leaderboard; may be given several times
    config
        a TOML configuration that competes too, under the name of its file; several may be given
    """

    method: tuple[str, ...] = ()
    config: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """What the methods are compared on.

    `pass_seconds`: what a masked pass took, NaN if there was none; `failed`: id → sentence, of the
    samples that could not be recorded, ablated or held against their evidence.
    """

    run: Run
    golds: Mapping[str, Gold]
    pass_seconds: float
    failed: dict[str, str] = field(default_factory=dict)


def benchmark(
    folder: Path | None = None,
    *,
    samples: int | Path = PLANTED,
    own: Annotated[OwnOptions, Parameter(name="*")] = OwnOptions(),
    planted: Annotated[PlantedOptions, Parameter(name="*")] = PlantedOptions(),
    competing: Annotated[CompetingOptions, Parameter(name="*")] = CompetingOptions(),
    json: bool = False,
) -> int:
    """Attribution methods on evidence that is known: F1 against it, faithfulness, cost.

    Makes prompts of text, images, audio and video that are hard in six ways, records the bundled
    model's answers with ablations, and prints a leaderboard (docs/faithfulness.md). With --model,
    --samples and --evidence the same leaderboard is of a model and samples of your own.

    Parameters
    ----------
    folder
        keep samples, truth and run here, and go on from what is there; nothing is kept otherwise
    samples
        how many samples of each modality and axis are made, from 1 to 10000; with --model, the
        samples file
    json
        print JSON (schema omnitrace.leaderboard/1) instead of tables
    """
    entries = entries_of(competing.method) | entries_of_files(competing.config)
    with kept_or_temporary(folder) as place:
        if own.model:
            made = record_own(place, samples, own, planted)
            about: dict[str, Any] = {"model": made.run.identity["model"]}
        else:
            planted = replace(planted, samples=number_of_samples(samples, own))
            made = record_and_judge_planted(place, planted)
            about = {"split": planted.split}
        if not made.golds:
            narrate("No sample could be compared.")
            return narrate_failures(made.failed.values()) or 1
        standings = leaderboard(made.run, made.golds, entries)
    right = sum(int(gold.judged.sum()) for gold in made.golds.values())
    sentences = sum(len(gold.judged) for gold in made.golds.values())
    narrate(f"{len(made.golds)} samples; {right} of {sentences} sentences are right and count.")
    rows = [
        row | {"seconds": None if isnan(row["seconds"]) else row["seconds"]}
        for row in to_json(standings, made.pass_seconds)
    ]
    name, groups = groups_of(made.golds, bool(own.model))
    if json:
        about |= {"masks": planted.masks, "failed": made.failed}
        print_json(document(rows, standings, about, name, groups))
    else:
        show(rows)
        show_groups(standings, name, groups)
    return narrate_failures(made.failed.values())


def number_of_samples(samples: int | Path, own: OwnOptions) -> int:
    """How many planted samples are made; CommandError for what belongs to a model of one's own."""
    for name in ("evidence", "responses", "recording"):
        if getattr(own, name) is not None:
            raise CommandError(f"--{name} is of a model of your own: name it with --model.")
    if isinstance(samples, Path) or not 1 <= samples <= 10_000:
        raise CommandError(
            f"--samples {samples}: without --model it is how many samples of each modality and "
            "axis are made, from 1 to 10000; with --model it names a samples file."
        )
    return samples


def record_own(
    folder: Path, samples: int | Path, own: OwnOptions, planted: PlantedOptions
) -> Recorded:
    """The samples recorded with the model, ablated and held against their evidence.

    CommandError or OmniTraceError for what is wrong with options and files, before torch or the
    model is loaded. What is wrong with one sample is in `failed`.
    """
    path, read, known = read_own(samples, own, planted)
    config = load_toml(RecordConfig(), own.recording) if own.recording else RecordConfig()
    answers = str(own.responses) if own.responses else ""
    config = replace(config, model=own.model, responses=answers, ablations=0)
    find_checkpoint(config.model, config.revision, config.trust_remote_code, config.tokenizer)
    if own.responses:
        read_responses(own.responses, [sample.id for sample in read])
    with loading():
        from recorder.ablation.ablate import ablate_inputs
        from recorder.record import record

    place = folder / "run"
    with progress_bar() as report:
        failed = dict(record(path, place, config, report, read).failed)
    same = {one.name for one in fields(RecordConfig)} & {one.name for one in fields(AblateConfig)}
    shared = {name: getattr(config, name) for name in same - {"seed"}}  # of draws, not of masks
    began = time.perf_counter()
    with progress_bar() as report:
        ablate = AblateConfig(**shared, samples=str(path), masks=planted.masks)
        added = ablate_inputs(place, ablate, report)
    seconds = time.perf_counter() - began
    run, wrong, found = open_run(place), dict[str, str](), dict[str, Gold]()
    for id, gold in each_sample(run, [s.id for s in read if s.id in run], known.gold, wrong):
        found[id] = gold
    failed |= added.failed | {id: sample_sentence(id, why) for id, why in wrong.items()}
    passes = added.added * planted.masks
    return Recorded(run, found, seconds / passes if passes else float("nan"), failed)


def read_own(
    samples: int | Path, own: OwnOptions, planted: PlantedOptions
) -> tuple[Path, list[Sample], Known]:
    """The samples file, what it holds and what is true of it.

    CommandError for options that do not go together, for evidence of unknown samples, for samples
    without any, and for a file that names no evidence at all; else as `read_samples`, `read_known`.
    """
    for name in ("modality", "axis", "split"):
        if getattr(planted, name) != getattr(PlantedOptions(), name):
            raise CommandError(f"--{name} is of planted samples: leave it out with --model.")
    if not isinstance(samples, Path):
        raise CommandError("with --model, name the samples file: --samples FILE.")
    if own.evidence is None:
        raise CommandError(
            "with --model, name what is true of the samples: --evidence FILE, as omnitrace "
            "evaluate or omnitrace gate take it."
        )
    read, known = read_samples(samples), read_known(own.evidence)
    here = {sample.id: None for sample in read}
    for id in known.ids:
        if id not in here:
            raise CommandError(
                f"{own.evidence} names '{one_line(id)}', which {samples} does not have: take the "
                "line out, or name the samples that it was made for."
            )
    missing = [id for id in here if id not in known.ids]
    if missing:
        raise CommandError(
            f"{own.evidence} has no line for {len(missing)} of {len(read)} samples, the first "
            f"'{one_line(missing[0])}': add it, or take the sample out of {samples}."
        )
    if not any(known.ids.values()):
        raise CommandError(
            f"{own.evidence} names no evidence of any sentence: label what supports the answers."
        )
    return samples, read, known


def record_and_judge_planted(folder: Path, planted: PlantedOptions) -> Recorded:
    """Planted samples, recorded with the bundled model, and their truths."""
    run, seconds = record_planted(folder, planted)
    return Recorded(run, golds_of_truths(run, read_truths(folder / "truth.jsonl")), seconds)


def entries_of(names: Sequence[str]) -> dict[str, Entry]:
    """The entries of these names, all if none is named; CommandError for an unknown name."""
    for name in names:
        if name not in ENTRIES:
            raise CommandError(f"the leaderboard has no '{name}': {nearest(name, list(ENTRIES))}.")
    return {name: ENTRIES[name] for name in names or ENTRIES}


def entries_of_files(files: Sequence[Path]) -> dict[str, Entry]:
    """An entry a file, over the default configuration, its request left out."""
    return {file.stem: Entry(config=load_toml(CAUSAL, file)) for file in files}


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """The folder, or a temporary one that is removed afterwards."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def record_planted(folder: Path, planted: PlantedOptions) -> tuple[Run, float]:
    """Write the samples and record their answers and ablations, as far as they are not there.

    Returns the run and the seconds that a masked pass took, NaN if there was none.
    """
    with loading():
        from recorder.ablation.ablate import ablate_inputs
        from recorder.planted.hard import AXES, MODALITIES, make_hard
        from recorder.planted.samples import SPLITS, write_samples
        from recorder.record import record

    modalities = checked(planted.modality, MODALITIES, "modality")
    axes = checked(planted.axis, tuple(AXES), "axis")
    seeds = SPLITS[planted.split][: planted.samples]
    samples = [make_hard(seed, m, axis) for m in modalities for axis in axes for seed in seeds]
    write_samples(samples, folder)
    path, run = folder / "samples.jsonl", folder / "run"
    with progress_bar() as report:
        record(path, run, RecordConfig(level="heads"), report)
    began = time.perf_counter()
    with progress_bar() as report:
        config = AblateConfig(samples=str(path), masks=planted.masks)
        passes = ablate_inputs(run, config, report).added * planted.masks
    seconds = (time.perf_counter() - began) / passes if passes else float("nan")
    return open_run(run), seconds


def checked(names: Sequence[str], legal: Sequence[str], what: str) -> Sequence[str]:
    """The names, all legal ones if there are none; CommandError for one that is not legal."""
    for name in names:
        if name not in legal:
            raise CommandError(f"there is no {what} '{name}': {nearest(name, list(legal))}.")
    return names or legal


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line an entry: F1 by modality (Time-F1 for audio and video), faithfulness, cost."""
    made = table(
        "F1 by modality (audio, video: Time-F1), faithfulness, cost a sample", "method", "text>",
        "image>", "audio>", "video>", "all>", "LDS>", "drop>", "calls>", "s>",
    )  # fmt: skip
    for row in rows:
        f1 = [number(row.get(f"f1_{name}")) for name in COLUMNS]
        made.add_row(
            plain(row["method"]), *f1, number(row["lds"]), number(row["drop-1"], 1),
            "–" if row["calls"] is None else f"{row['calls']:.0f}",
            "–" if row["seconds"] is None else f"{row['seconds']:.2f}",
        )  # fmt: skip
    out().print(made)


def show_groups(standings: Sequence[Standing], name: str, groups: Mapping[str, str]) -> None:
    """F1 of all labels by group, if there are several; `groups`: sample id → its group."""
    names = list(dict.fromkeys(groups.values()))
    if len(names) < 2:
        return
    heads = [f"{one_line(group, 20).removeprefix('near-')}>" for group in names]
    made = table(f"F1 by {name}", "method", *heads)
    for standing in standings:
        f1 = standing.by_group(groups)
        made.add_row(plain(standing.name), *(f"{f1[group]:.2f}" for group in names))
    out().print(made)


def groups_of(golds: Mapping[str, Gold], own: bool) -> tuple[str, dict[str, str]]:
    """How samples are grouped, and the group of each: planted ones by axis, a user's by task."""
    if own:
        return "task", {id: gold.task or "other" for id, gold in golds.items()}
    return "axis", {id: axis_of(id) for id in golds}


def axis_of(id: str) -> str:
    """The axis in the id of a planted sample: `text-near-duplicates-20000`."""
    return id.split("-", 1)[1].rsplit("-", 1)[0]


def number(value: Mapping[str, Any] | None, digits: int = 2) -> str:
    """A value with its interval, as JSON data, without the interval; a dash if there is none."""
    return "–" if value is None or value["value"] is None else f"{value['value']:.{digits}f}"


def document(
    rows: Sequence[dict[str, Any]],
    standings: Sequence[Standing],
    about: Mapping[str, Any],
    name: str,
    groups: Mapping[str, str],
) -> dict[str, Any]:
    """All rows as JSON data, each with its F1 by group."""
    for row, standing in zip(rows, standings, strict=True):
        row[f"f1_by_{name}"] = standing.by_group(groups)
    return {"schema": SCHEMA, **about, "samples": len(groups), "methods": rows}
