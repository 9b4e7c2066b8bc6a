"""`omnitrace agree A B`: the agreement of two label files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import open_run
from omnitrace.cli.console import narrate, out, plain, print_json, table, tracked
from omnitrace.text import one_line
from replay.cli.tables import interval, modality_text, percent
from replay.evaluation import Scores, score
from replay.evaluation.agree import agreement, kinds_of
from replay.evaluation.labels import Labels, read_labels
from replay.evaluation.report import grouped
from replay.evaluation.rows import Rows
from replay.evaluation.sources import GoldFile

SCHEMA = "omnitrace.agreement/1"
DRAWS = 1000


def agree(
    a: Path,
    b: Path,
    *,
    run: Path | None = None,
    seconds: Annotated[float, Parameter(validator=Number(gte=0.01))] = 1.0,
    by: Literal["task", "sample"] | None = None,
    json: bool = False,
) -> int:
    """Say how far two label files agree: symmetric F1, by modality (the paper's Table 4).

    Parameters
    ----------
    a
        a labels file, say a judge's
    b
        another, say a person's
    run
        the run that they label: both are then checked against it
    seconds
        length of the bins in which time is compared
    by
        also by task or by sample
    json
        print JSON (schema omnitrace.agreement/1) instead of a table
    """
    first, second = read_labels(a), read_labels(b)
    kinds = {} if run is None else check_files(run, first, second)
    judgements = agreement(first, second, kinds, seconds)
    groups = {"all": score(judgements, DRAWS)} | (grouped(judgements, by, DRAWS) if by else {})
    show(groups, json)
    narrate(
        f"{len(judgements)} samples in both, {len(first.by_id) - len(judgements)} only in {a}, "
        f"{len(second.by_id) - len(judgements)} only in {b}."
    )
    return 0 if judgements else 1


def check_files(path: Path, *files: Rows[Labels]) -> Mapping[str, str]:
    """Check the files against their run; returns what `audio/video_source` means in its samples."""
    run = open_run(path)
    for file in map(GoldFile, files):
        file.check_known(run)
        for id in tracked(tuple(file.rows.by_id)):
            file.gold(run[id])
    return kinds_of(run, {id for file in files for id in file.by_id})


def show(groups: Mapping[str, Scores], json: bool) -> None:
    """The agreement on stdout, in per cent, or as JSON."""
    if json:
        data = {name: agreement_json(scores) for name, scores in groups.items()}
        print_json({"schema": SCHEMA, "agreement": data})
        return
    made = table("agreement, %", "of", "", "samples>", "sentences>", "F1>", "95 %>")
    for name, scores in groups.items():
        for column, one in scores.micro.items():
            if one.spans:
                made.add_row(
                    plain(one_line(name, 40)), modality_text(column),
                    str(one.samples), str(one.spans), percent(one.f1), interval(one, "f1"),
                )  # fmt: skip
    out().print(made)


def agreement_json(scores: Scores) -> dict[str, Any]:
    """The agreement of one group by modality."""
    return {
        column: {"f1": one.f1, "samples": one.samples, "spans": one.spans}
        | ({"ci": list(one.f1_interval)} if one.f1_interval else {})
        for column, one in scores.micro.items()
        if one.spans
    }
