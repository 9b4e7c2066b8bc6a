"""Which families of models are tested, and with which media.

The table is data: `recorder/data/families.json`, written by the tests. Loads no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "omnitrace.families/1"
PATH = Path(__file__).parents[1] / "data" / "families.json"
MEDIA = ("text", "image", "video", "audio")


@dataclass(frozen=True)
class Family:
    """What the tests found of a family's toy checkpoint.

    `family`: its name in the tests; `model_type`: transformers' name; `takes`: of text, image,
    video and audio those whose tokens are found; `capture`: rows equal eager attention's, and
    generated tokens plain generation's; `gradients`: they equal those of one re-run a step;
    `note`: what is different about it, in a few words.
    """

    family: str
    model_type: str
    takes: tuple[str, ...]
    capture: bool
    gradients: bool
    note: str = ""


def read_families(path: Path = PATH) -> tuple[Family, ...]:
    """The families of a file, by name: JSON, `omnitrace.families/1`."""
    data = json.loads(path.read_text("utf-8"))
    return tuple(Family(**{**row, "takes": tuple(row["takes"])}) for row in data["families"])
