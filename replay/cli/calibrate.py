"""`omnitrace calibrate RUN OUT`: how probable is it that a span's best source is right?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import open_run
from omnitrace.arrays import Float64
from omnitrace.cli.console import narrate, narrate_failures, out, plain, print_json, table, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from replay import PRESETS, ReplayConfig
from replay import preset as preset_of
from replay.config import ReliabilityConfig
from replay.evaluation.run import judge_run
from replay.evaluation.sources import read_golds
from replay.evaluation.trust import Trust, parts_of, trust, with_calibration
from replay.reliability import fit, write_calibration
from replay.run import check_added
from replay.sweep.sweep import split

SCHEMA = "omnitrace.calibrate/1"


@dataclass(frozen=True)
class CalibrateOptions:
    """What is learned from, what is held out, and what is printed.

    Parameters
    ----------
    labels
        what is true of the samples: a labels file or a planted truth file
    more
        another run and its labels, to learn from as well; may be given several times
    holdout
        the share of the samples that is not learned from, on which the result is measured
    json
        print JSON (schema omnitrace.calibrate/1) instead of a table
    """

    labels: Path
    more: tuple[tuple[Path, Path], ...] = ()
    holdout: Annotated[float, Parameter(validator=Number(gte=0, lt=1))] = 0.5
    json: bool = False


@flags_of(PRESETS["default"])
def calibrate(
    run: RunPath,
    out: Path,
    *,
    options: Annotated[CalibrateOptions, Parameter(name="*")],
    preset: PresetName = "default",
    config: ConfigFile = None,
    given: dict[str, Any] | None = None,
) -> int:
    """Learn, from samples with labels, the probability that a span's best source is right.

    OUT is for other samples of the same model under the same configuration: replay them with
    --reliability.calibration OUT, and let spans that are too uncertain have no source with
    --reliability.least.

    Parameters
    ----------
    out
        the JSON file to write
    """
    chosen = plain_config(layered(preset_of(preset), config, given))
    failed: list[str] = []
    own: list[Float64] = []
    others: list[Float64] = []
    for path, labels in ((run, options.labels), *options.more):
        known, held_out = rows_of_run(path, labels, chosen, failed), set[str]()
        if options.holdout:
            held_out = set(split(list(known), options.holdout)[1])
        own += [rows for id, rows in known.items() if id not in held_out]
        others += [rows for id, rows in known.items() if id in held_out]
    made = fit(*parts_of(own))
    spans = sum(map(len, own))
    write_calibration(out, made, spans, len(own), to_dict(chosen))
    show(trust(with_calibration(rows, made) for rows in others or own), options.json)
    where = f"{len(others)} samples that were held out" if others else "the same samples"
    narrate(f"{out}: learned from {spans} spans of {len(own)} samples; the figures are of {where}.")
    return narrate_failures(failed)


def rows_of_run(
    path: Path, labels: Path, config: ReplayConfig, failed: list[str]
) -> dict[str, Float64]:
    """The rows (`trust_of`) of each sample of a run that has labels; others go to `failed`."""
    opened, golds, lost = open_run(path), read_golds(labels), dict[str, str]()
    check_added(opened, config)
    golds.check_known(opened)
    ids = [id for id in opened if id in golds]
    judged = judge_run(opened, tracked(ids), golds, config, 1.0, lost)
    known = {one.id: one.trust for one in judged}
    failed += lost.values()
    return known


def plain_config(config: ReplayConfig) -> ReplayConfig:
    """The configuration without an earlier calibration, under which no span loses its sources."""
    return replace(config, reliability=ReliabilityConfig())


def show(measured: Trust, json: bool) -> None:
    """The figures on stdout."""
    if json:
        print_json({"schema": SCHEMA, **measured.json()})
        return
    made = table(f"reliability of {measured.spans} spans", "", "value>")
    for name, value in measured.rows():
        made.add_row(plain(name), plain(value))
    out().print(made)
