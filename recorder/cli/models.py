"""`omnitrace models [MODEL]`: which families of models are tested, or what one model allows."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import TYPE_CHECKING

from omnitrace.cli.console import narrate, out, plain, table
from recorder.cli.output import loading
from recorder.models.checkpoint import find_checkpoint
from recorder.models.families import MEDIA, SCHEMA, Family, read_families
from recorder.models.settings import read_chat_template

OTHERS = (
    "Other models that follow transformers' conventions are recorded too: omnitrace models NAME "
    "says what of one."
)

if TYPE_CHECKING:
    from rich.table import Table

    from recorder.models.about import About


def models(
    model: str = "",
    *,
    revision: str = "",
    trust_remote_code: bool = False,
    tokenizer: str = "",
    chat_template: str = "",
    json: bool = False,
) -> int:
    """Show the families of models that are tested, or what can be recorded of one model.

    Of a model, its configuration and the files of its processor are read, no weights; the exit
    status is 1 if it cannot be recorded.

    Parameters
    ----------
    model
        a model folder, GGUF file, PEFT adapter folder or hub id; empty: the table of families
    revision
        the model's commit on the hub; empty: the newest
    trust_remote_code
        run the code that the model brings; of the hub's only with --revision, in full
    tokenizer
        a folder whose tokenizer and processor are used; empty: the model's own
    chat_template
        a file with a Jinja chat template; empty: the model's own
    json
        print JSON (omnitrace.families/1, of one model omnitrace.model/1)
    """
    if not model:
        return show_families(read_families(), json)
    template = read_chat_template(chat_template)
    find_checkpoint(model, revision, trust_remote_code, tokenizer)
    found = describe(model, revision, trust_remote_code, tokenizer, template)
    if json:
        print(json_format.dumps({"schema": "omnitrace.model/1", **asdict(found)}))
    else:
        out().print(model_table(found))
        for why in found.refused:
            narrate(f"omnitrace: '{model}' cannot be recorded: {why}.")
    return 1 if found.refused else 0


def describe(model: str, revision: str, trusted: bool, tokenizer: str, chat_template: str) -> About:
    """What can be recorded of a model; CommandError where the [record] extra is not installed."""
    with loading("transformers", "this needs"):
        from recorder.models.about import about
        from recorder.models.adapter import describe_model
        from recorder.models.settings import Settings

    spec = describe_model(model, revision, trusted, tokenizer)
    return about(spec, Settings(chat_template=chat_template))


def show_families(families: tuple[Family, ...], json: bool) -> int:
    """Print the table of families."""
    if json:
        rows = [asdict(family) for family in families]
        print(json_format.dumps({"schema": SCHEMA, "families": rows}))
        return 0
    made = table("models", "family", *MEDIA, "capture", "gradients")
    for family in families:
        marks = [kind in family.takes for kind in MEDIA] + [family.capture, family.gradients]
        made.add_row(plain(family.family), *("✓" if yes else "" for yes in marks))
    out().print(made)
    notes = [f"{family.family}: {family.note}." for family in families if family.note]
    for line in (*notes, OTHERS):
        out().print(plain(line), soft_wrap=True)
    return 0


def model_table(found: About) -> Table:
    """A line a property."""
    made = table(found.model, "", "", show_header=False)
    attend = f"{len(found.attending)} of {found.layers}"
    if 0 < len(found.attending) < found.layers:
        attend += f" ({', '.join(map(str, found.attending))})"
    rows = {
        "kind": f"{found.kind} on {found.base}" if found.base else found.kind,
        "model type": found.model_type,
        "architecture": found.architecture,
        "adapter": found.adapter,
        "takes": ", ".join(found.takes),
        "layers that attend": attend,
        "most tokens": f"{found.context:,}" if found.context else "",
        "chat template": "yes" if found.chat_template else "no",
        "--template-args": ", ".join(found.arguments),
        "prints the day": "yes" if found.date else "no",
        "BOS tokens": "" if found.bos is None else str(found.bos),
        "thinking": "yes" if found.thinking else "no",
        "tested as": ", ".join(found.tested) or "not in the table of families",
    }
    for name, value in rows.items():
        made.add_row(plain(name), plain(value))
    return made
