"""`omnitrace options RUN OPTIONS`: do attributions point at the option that the model chose?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from omnitrace import OmniTraceError, Trace, open_run
from omnitrace.cli.console import narrate, narrate_failures, out, plain, print_json, table, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from omnitrace.text import one_line
from replay import PRESETS, Attribution, ReplayConfig
from replay import preset as preset_of
from replay.cli.tables import percent
from replay.evaluation.options import AnswerOptions, Choice, choose, consistency, read_options
from replay.evaluation.rows import Rows
from replay.run import attribute_all, check_added

SCHEMA = "omnitrace.options/1"


@flags_of(PRESETS["default"])
def options(
    run: RunPath,
    options: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    json: bool = False,
    given: dict[str, Any] | None = None,
) -> int:
    """Say how often the attribution of the answer points at the option that the model chose.

    The paper's option consistency (App. B.3; docs/evaluation.md).

    Parameters
    ----------
    options
        JSON lines {"id", "options"}, as `omnitrace dataset` writes them
    json
        print JSON (schema omnitrace.options/1) instead of a table
    """
    chosen = layered(preset_of(preset), config, given)
    opened, rows = open_run(run), read_options(options)
    check_added(opened, chosen)
    failed: dict[str, str] = {}
    ids = [id for id in opened if id in rows.by_id]
    attributed = attribute_all(opened, tracked(ids), chosen, failed)
    choices = [choose_among(rows, trace, attribution) for trace, attribution in attributed]
    if json:
        print_json(document(choices, chosen))
    else:
        show(choices)
    silent = sum(choice.chosen is None for choice in choices)
    narrate(summary(choices, silent, len(rows.by_id)))
    if shared := sum(choice.shared for choice in choices):
        narrate(f"omnitrace: in {shared} samples options share a source unit: cut text finer.")
    return narrate_failures(failed.values()) or int(len(choices) == silent)


def choose_among(rows: Rows[AnswerOptions], trace: Trace, attribution: Attribution) -> Choice:
    """`choose` among the options of the file's row; OmniTraceError naming its line."""
    try:
        return choose(attribution, trace, rows.by_id[trace.id])
    except OmniTraceError as error:
        raise OmniTraceError(f"{rows.where(trace.id)}: {error}") from error


def document(choices: Sequence[Choice], config: ReplayConfig) -> dict[str, Any]:
    """All as JSON data; null where nothing is known."""
    share, chance = consistency(choices)
    known = any(choice.chosen is not None for choice in choices)
    return {
        "schema": SCHEMA,
        "config": to_dict(config),
        "consistency": share.value if known else None,
        "ci": [share.low, share.high] if known else None,
        "chance": chance if known else None,
        "samples": [
            {
                "id": choice.id,
                "chosen": choice.chosen,
                "attributed": choice.attributed,
                "consistent": choice.consistent,
                "mass": choice.mass.tolist(),
            }
            for choice in choices
        ],
    }


def show(choices: Sequence[Choice]) -> None:
    """A line a question, and the share of consistent ones."""
    made = table("options", "sample", "chosen", "attributed", "mass of each")
    for choice in choices:
        chosen, attributed = (letter(index) for index in (choice.chosen, choice.attributed))
        style = "green" if choice.consistent else "dim"
        made.add_row(
            plain(one_line(choice.id, 40)), chosen, plain(attributed, style),
            " ".join(f"{mass:.3g}" for mass in choice.mass),
        )  # fmt: skip
    out().print(made)
    share, chance = consistency(choices)
    if any(choice.chosen is not None for choice in choices):
        interval = "–".join(map(percent, (share.low, share.high)))
        text = f"consistent: {percent(share.value)} % ({interval}); by chance {percent(chance)} %"
        out().print(plain(text))


def letter(option: int | None) -> str:
    """What people call an option."""
    return "–" if option is None else ascii_uppercase[option]


def summary(choices: Sequence[Choice], silent: int, rows: int) -> str:
    """How many questions count; `silent`: responses that name no option, `rows`: of the file."""
    undecided = sum(c.attributed is None and c.chosen is not None for c in choices)
    parts = [f"{len(choices)} samples with options, {rows - len(choices)} options without sample"]
    parts += [f"{silent} responses that name no option are left out"] if silent else []
    parts += [f"{undecided} attributions prefer no option"] if undecided else []
    return f"{'; '.join(parts)}."
