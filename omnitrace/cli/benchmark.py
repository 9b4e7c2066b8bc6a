"""`omnitrace benchmark`: attribution methods on planted evidence, whose causes are known."""

from __future__ import annotations

import json as json_format
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import Run, open_run
from omnitrace.cli.console import narrate, out, plain, samples_bar, table
from omnitrace.config import load_toml
from omnitrace.errors import CommandError, nearest
from recorder.cli.record import progress_bar, recorder

if TYPE_CHECKING:
    from replay.methods.leaderboard import Entry, Standing

SCHEMA = "omnitrace.leaderboard/1"


@dataclass(frozen=True)
class Making:
    """What is made, and recorded with the bundled model.

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
    making: Annotated[Making, Parameter(name="*")] = Making(),
    method: tuple[str, ...] = (),
    config: tuple[Path, ...] = (),
    json: bool = False,
) -> int:
    """Attribution methods on planted evidence: F1 against true causes, faithfulness, cost.

    Makes prompts of text, pictures, sounds and films that are hard in six ways, records the bundled
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
    from replay.evaluation import golds_of_truths, read_truths
    from replay.methods.leaderboard import leaderboard

    entries = chosen_entries(method) | configured(config)
    with at(folder) as place:
        run, seconds = made(place, making)
        truths = read_truths(place / "truth.jsonl")
        golds = golds_of_truths(run, truths)
        standings = leaderboard(run, golds, entries)
    right = sum(int(gold.judged.sum()) for gold in golds.values())
    said = sum(len(gold.judged) for gold in golds.values())
    narrate(f"{len(golds)} samples; {right} of {said} sentences are right and count.")
    if json:
        print_json(standings, seconds, making)
    else:
        show(standings, seconds)
        show_axes(standings)
    return 0


def chosen_entries(names: Sequence[str]) -> dict[str, Entry]:
    """The entries of these names, all if none is named; CommandError for one that is none."""
    from replay.methods.leaderboard import ENTRIES

    for name in names:
        if name not in ENTRIES:
            raise CommandError(f"the leaderboard has no '{name}': {nearest(name, list(ENTRIES))}.")
    return {name: ENTRIES[name] for name in names or ENTRIES}


def configured(files: Sequence[Path]) -> dict[str, Entry]:
    """An entry a file, over the default configuration, its request left out."""
    from replay.methods.leaderboard import CAUSAL, Entry

    return {file.stem: Entry(config=load_toml(CAUSAL, file)) for file in files}


@contextmanager
def at(folder: Path | None) -> Iterator[Path]:
    """That folder, or one that is gone afterwards."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def made(folder: Path, making: Making) -> tuple[Run, float]:
    """The run, recorded as far as it is not there, and the seconds of one masked pass."""
    hard, loop = recorder("planted.hard"), import_module("recorder.record")
    modalities = checked(making.modality, hard.MODALITIES, "modality")
    axes = checked(making.axis, tuple(hard.AXES), "axis")
    planted = import_module("recorder.planted.samples")
    seeds = list(planted.SPLITS[making.split])[: making.samples]
    samples = [hard.make_hard(s, m, axis) for m in modalities for axis in axes for s in seeds]
    planted.write_samples(samples, folder)
    config = import_module("recorder.config")
    given, run = folder / "samples.jsonl", folder / "run"
    with progress_bar() as report:
        loop.record(given, run, config.RecordConfig(level="heads"), report)
    asked = config.AblateConfig(samples=str(given), masks=making.masks)
    began = time.perf_counter()
    with samples_bar() as tell:
        summary = import_module("recorder.ablation.ablate").ablate_inputs(run, asked, tell)
    rows = summary.added * making.masks
    seconds = (time.perf_counter() - began) / rows if rows else float("nan")
    return open_run(run), seconds


def checked(names: Sequence[str], legal: Sequence[str], what: str) -> Sequence[str]:
    """The names, all legal ones if there are none; CommandError for one that is not legal."""
    for name in names:
        if name not in legal:
            raise CommandError(f"there is no {what} '{name}': {nearest(name, list(legal))}.")
    return names or legal


def show(standings: Sequence[Standing], seconds: float) -> None:
    """A line an entry: F1 by modality (Time-F1 for audio and video), faithfulness, cost."""
    from replay.evaluation import COLUMNS
    from replay.methods.leaderboard import to_json

    made = table(
        "F1 by modality (audio, video: Time-F1), faithfulness, cost a sample", "method", "text>",
        "image>", "audio>", "video>", "all>", "LDS>", "drop>", "calls>", "s>",
    )  # fmt: skip
    for row in to_json(standings, seconds):
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
        found = standing.by_group(groups)
        made.add_row(plain(standing.name), *(f"{found[name]:.2f}" for name in names))
    out().print(made)


def axis_of(id: str) -> str:
    """The axis in the id of a planted sample: `text-near-duplicates-20000`."""
    return id.split("-", 1)[1].rsplit("-", 1)[0]


def number(value: Mapping[str, Any] | None, digits: int = 2) -> str:
    return "–" if value is None or value["value"] is None else f"{value['value']:.{digits}f}"


def print_json(standings: Sequence[Standing], seconds: float, making: Making) -> None:
    """All rows, each with its F1 by axis."""
    from replay.methods.leaderboard import to_json

    rows = to_json(standings, seconds)
    for row, standing in zip(rows, standings, strict=True):
        row["f1_by_axis"] = standing.by_group({j.id: axis_of(j.id) for j in standing.judgements})
    about = {"schema": SCHEMA, "split": making.split, "masks": making.masks}
    data = {**about, "samples": len(standings[0].judgements), "methods": rows}
    sys.stdout.write(json_format.dumps(data) + "\n")
