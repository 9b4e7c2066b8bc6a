"""`omnitrace info RUN`: what a run holds. Reads no segment and loads no model."""

from __future__ import annotations

import json
from typing import Any

from omnitrace import Run, open_run
from omnitrace.cli.console import narrate_failures, out, plain, print_json, table
from omnitrace.cli.flags import RunPath
from omnitrace.text import one_line
from omnitrace.timeline import Modality

MIN_PREVIEW, NUMBERS_WIDTH = 20, 72
"""Characters: the least of an answer that is shown, and what the other columns take."""

LABELS = {"attention_layers": "attending layers"}
"""Words for what a run was recorded with, where its own name says too little."""

MODALITIES = [modality.label for modality in Modality]


def info(run: RunPath, *, json: bool = False) -> int:
    """Say what a run holds: how it was recorded, and its samples.

    Parameters
    ----------
    json
        print JSON (schema omnitrace.info/1) for programs instead of a table
    """
    opened = open_run(run)
    if json:
        print_json(describe(opened))
    else:
        show(opened)
    return narrate_failures(opened.damage)


def describe(run: Run) -> dict[str, Any]:
    """The run as JSON data."""
    summary = run.summary()
    samples = [
        {
            "id": id,
            "prompt_tokens": int(summary.n[row]),
            "steps": int(summary.T[row]),
            "modalities": dict(zip(MODALITIES, summary.modalities[row].tolist(), strict=True)),
            "preview": summary.previews[row],
        }
        for row, id in enumerate(summary.ids)
    ]
    return {
        "schema": "omnitrace.info/1",
        "path": run.path,
        "created_by": run.created_by,
        "identity": run.identity,
        "bytes": run.nbytes,
        "damage": run.damage,
        "added": [
            {
                "kind": added.kind,
                "name": added.name,
                "samples": len(added.samples),
                "about": added.about,
            }
            for added in run.additions
        ],
        "samples": samples,
    }


def show(run: Run) -> None:
    """The run as tables on stdout."""
    facts = table(run.path, "recorded with", "", show_header=False)
    facts.add_row("samples", plain(str(len(run))))
    facts.add_row("bytes", plain(f"{run.nbytes:,}"))
    for name, value in {**run.identity, **run.created_by}.items():
        facts.add_row(plain(LABELS.get(name, name)), plain(one_line(_words(value), 200)))
    for added in run.additions:
        about = one_line(_words(added.about), 160)
        added_to = f"{added.name}, of {len(added.samples)} samples: {about}"
        facts.add_row(plain(added.kind), plain(added_to))
    out().print(facts)
    out().print(_samples(run))


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _samples(run: Run) -> Any:
    summary = run.summary()
    shown = [name for name in MODALITIES if name != "special"]
    made = table("", "sample", "prompt>", "steps>", *(f"{name}>" for name in shown), "answer")
    room = max(MIN_PREVIEW, out().width - NUMBERS_WIDTH)
    for row, id in enumerate(summary.ids):
        counts = [str(count or "") for count in summary.modalities[row, : len(shown)].tolist()]
        numbers = [str(summary.n[row]), str(summary.T[row]), *counts]
        made.add_row(
            plain(one_line(id, 40)), *numbers, plain(one_line(summary.previews[row], room))
        )
    return made
