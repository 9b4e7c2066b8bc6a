"""Gradients that are recorded of every family are autograd's on a pass of the whole again."""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import check_gradients
from tests.recorder.families.models import CASES


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_gradients_equal_autograd(family: str, kind: str) -> None:
    check_gradients(family, kind)
