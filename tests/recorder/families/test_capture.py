"""Rows that are recorded of every family are those of eager attention."""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import check_capture
from tests.recorder.families.models import CASES


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_rows_equal_eager_attention(family: str, kind: str) -> None:
    check_capture(family, kind)
