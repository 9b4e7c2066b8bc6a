"""Prompts of every family are transformers' own, and every token of them has its place."""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import check_prompt
from tests.recorder.families.models import CASES, OWN_CODE

THEIRS = [case for case in CASES if case[0] not in OWN_CODE]


@pytest.mark.parametrize(("family", "kind"), THEIRS)
def test_prompt_ids_are_transformers_own_and_media_are_placed(family: str, kind: str) -> None:
    check_prompt(family, kind)
