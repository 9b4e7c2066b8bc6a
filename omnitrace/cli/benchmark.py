"""`omnitrace benchmark`: attribution methods on planted evidence, whose causes are known."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import Run, open_run
from omnitrace.cli.console import narrate, out, plain, print_json, progress_bar, table
from omnitrace.config import load_toml
from omnitrace.errors import CommandError, nearest
from recorder.cli.output import loading
from recorder.config import AblateConfig, RecordConfig
from replay.evaluation import COLUMNS, golds_of_truths, read_truths
from replay.methods.leaderboard import CAUSAL, ENTRIES, Entry, Standing, leaderboard, to_json

SCHEMA = "omnitrace.leaderboard/1"


@dataclass(frozen=True)
class PlantedOptions:
    """Which samples are made, and recorded with the bundled model.

    Parameters
    ----------
    samples
        samples of each modality and axis of difficulty
    modality
        only this modality: text, image, audio or video; may be given several times
    axis
        only this axis: plain, units, distractors, near-duplicates, length, two or absent; may be
        given several times
    split
        whose seeds: choose, to choose settings on; test, for numbers that are reported; confirm,
        for those of what was changed after test was looked at
    masks
        ablations a sample
    """

    samples: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 2
    modality: tuple[str, ...] = ()
    axis: tuple[str, ...] = ()
    split: Literal["choose", "test", "confirm"] = "test"
    masks: Annotated[int, Parameter(validator=Number(gte=8, lte=4096))] = 64


def benchmark(
    folder: Path | None = None,
    *,
    planted: Annotated[PlantedOptions, Parameter(name="*")] = PlantedOptions(),
    method: tuple[str, ...] = (),
    config: tuple[Path, ...] = (),
    json: bool = False,
) -> int:
    """Attribution methods on planted evidence: F1 against true causes, faithfulness, cost.

    Makes prompts of text, images, audio and video that are hard in six ways, records the bundled
    model's answers with ablations, and prints a leaderboard (docs/faithfulness.md).

    Parameters
    ----------
    folder
        keep samples, truth and run here, and go on from what is there; nothing is kept otherwise
    method
        only this entry of the leaderboard; may be given several times
    config
        a TOML configuration that competes too, under the name of its file; several may be given
    json
        print JSON (schema omnitrace.leaderboard/1) instead of tables
    """
    entries = entries_of(method) | entries_of_files(config)
    with kept_or_temporary(folder) as place:
        run, pass_seconds = record_planted(place, planted)
        golds = golds_of_truths(run, read_truths(place / "truth.jsonl"))
        standings = leaderboard(run, golds, entries)
    right = sum(int(gold.judged.sum()) for gold in golds.values())
    sentences = sum(len(gold.judged) for gold in golds.values())
    narrate(f"{len(golds)} samples; {right} of {sentences} sentences are right and count.")
    rows = to_json(standings, pass_seconds)
    if json:
        print_json(document(rows, standings, planted))
    else:
        show(rows)
        show_axes(standings)
    return 0


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
            "–" if row["calls"] is None else f"{row['calls']:.0f}", f"{row['seconds']:.2f}",
        )  # fmt: skip
    out().print(made)


def show_axes(standings: Sequence[Standing]) -> None:
    """F1 of all labels by axis of difficulty."""
    groups = {one.id: axis_of(one.id) for one in standings[0].judgements}
    names = list(dict.fromkeys(groups.values()))
    heads = [f"{name.removeprefix('near-')}>" for name in names]
    made = table("F1 by difficulty", "method", *heads)
    for standing in standings:
        f1 = standing.by_group(groups)
        made.add_row(plain(standing.name), *(f"{f1[name]:.2f}" for name in names))
    out().print(made)


def axis_of(id: str) -> str:
    """The axis in the id of a planted sample: `text-near-duplicates-20000`."""
    return id.split("-", 1)[1].rsplit("-", 1)[0]


def number(value: Mapping[str, Any] | None, digits: int = 2) -> str:
    """A value with its interval, as JSON data, without the interval; a dash if there is none."""
    return "–" if value is None or value["value"] is None else f"{value['value']:.{digits}f}"


def document(
    rows: Sequence[dict[str, Any]], standings: Sequence[Standing], planted: PlantedOptions
) -> dict[str, Any]:
    """All rows as JSON data, each with its F1 by axis."""
    for row, standing in zip(rows, standings, strict=True):
        row["f1_by_axis"] = standing.by_group({j.id: axis_of(j.id) for j in standing.judgements})
    about = {"schema": SCHEMA, "split": planted.split, "masks": planted.masks}
    return {**about, "samples": len(standings[0].judgements), "methods": rows}
