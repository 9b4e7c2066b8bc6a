"""Answers of every family under masks of their prompts."""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import check_masked
from tests.recorder.families.models import CASES


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_masked_rows_are_those_of_attention_masks(family: str, kind: str) -> None:
    check_masked(family, kind)
