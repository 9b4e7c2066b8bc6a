"""The page about replay is that of the configuration as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrace.config import to_dict
from replay import ReplayConfig
from replay.document import BEGIN, END, key_table, with_table

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"


def keys_of(config: dict[str, object], path: str = "") -> list[str]:
    found: list[str] = []
    for key, value in config.items():
        if isinstance(value, dict) and key != "pos_weights":
            found += keys_of(value, f"{path}{key}.")
        else:
            found.append(path + key)
    return found


def test_the_table_of_keys_is_current() -> None:
    text = PAGE.read_text("utf-8")
    assert with_table(text) == text, "run `python -m replay.document docs/replay.md`"


def test_the_table_names_every_key_once() -> None:
    named = re.findall(r"^\| `([a-z_.]+)` \|", key_table(), re.MULTILINE)
    assert named == keys_of(to_dict(ReplayConfig()))
    assert len({line.count(" | ") for line in key_table().splitlines() if "---" not in line}) == 1


@pytest.mark.parametrize("key", ["reduce", "chunker", "competition", "first_step", "response"])
def test_every_choice_is_explained(key: str) -> None:
    told = PAGE.read_text("utf-8").split(END)[1]
    fields = ReplayConfig.__dataclass_fields__
    assert all(f"`{choice}`" in told for choice in fields[key].metadata["choices"])


def test_every_choice_of_units_is_explained() -> None:
    told = PAGE.read_text("utf-8").split(END)[1]
    for field in type(ReplayConfig().units).__dataclass_fields__.values():
        assert all(f"`{choice}`" in told for choice in field.metadata["choices"]), field.name


def test_the_module_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n", "utf-8")
    subprocess.run([sys.executable, "-m", "replay.document", str(page)], check=True)
    assert page.read_text("utf-8") == f"before\n{BEGIN}{key_table()}{END}after\n"
    assert list(tmp_path.iterdir()) == [page]
