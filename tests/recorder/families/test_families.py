"""What is claimed of every family, by toys of it: prompts, tokens, rows, gradients and masks.

All in one file, so that one process makes each toy and each recording once.
"""

from __future__ import annotations

import pytest

from tests.recorder.families.checks import (
    check_batch,
    check_capture,
    check_given,
    check_gradients,
    check_masked,
    check_pieces,
    check_prompt,
    check_tokens,
)
from tests.recorder.families.models import CASES, OWN_CODE

every_prompt = pytest.mark.parametrize(("family", "kind"), CASES)


@pytest.mark.parametrize(("family", "kind"), [case for case in CASES if case[0] not in OWN_CODE])
def test_prompt_ids_are_transformers_own_and_media_are_placed(family: str, kind: str) -> None:
    check_prompt(family, kind)


@every_prompt
def test_tokens_equal_plain_generation(family: str, kind: str) -> None:
    check_tokens(family, kind)


@every_prompt
def test_rows_and_gradients_equal_eager_attention(family: str, kind: str) -> None:
    """Together, since both are compared with the same passes."""
    check_capture(family, kind)
    check_gradients(family, kind)


@every_prompt
def test_a_given_answer_leaves_the_same_trace(family: str, kind: str) -> None:
    check_given(family, kind)


@every_prompt
def test_a_batch_equals_its_samples_alone(family: str, kind: str) -> None:
    check_batch(family, kind)


@every_prompt
def test_a_prompt_in_pieces_equals_the_whole(family: str, kind: str) -> None:
    check_pieces(family, kind)


@every_prompt
def test_masked_rows_are_those_of_attention_masks(family: str, kind: str) -> None:
    check_masked(family, kind)
