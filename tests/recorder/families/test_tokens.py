"""Generated tokens of every family are plain transformers', however the prompts are passed."""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import check_batch, check_given, check_pieces, check_tokens
from tests.recorder.families.models import CASES


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_tokens_equal_plain_generation(family: str, kind: str) -> None:
    check_tokens(family, kind)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_given_answer_leaves_the_same_trace(family: str, kind: str) -> None:
    check_given(family, kind)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_batch_equals_its_samples_alone(family: str, kind: str) -> None:
    check_batch(family, kind)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_prompt_in_pieces_equals_the_whole(family: str, kind: str) -> None:
    check_pieces(family, kind)
