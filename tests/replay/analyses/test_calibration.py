"""Image shares by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from replay.analyses.calibration import calibration
from tests.replay.analyses.golds import FACT, OTHER_FACT, PICTURE, TONE, claiming, judged, truth_of

TRUTH = truth_of((FACT, PICTURE), (PICTURE,), (TONE,))


def test_shares_by_hand() -> None:
    found = claiming({"text-0": 0.5, "image-0": 0.3, "audio-0:0-1": 0.2}, {"image-0": 0.9}, {})
    result = calibration([judged(found, TRUTH)])
    # The tone's sentence has neither text nor image, found or true.
    assert result.silent == 1
    assert result.sentences.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert result.predicted[[3, 9]] == pytest.approx([0.3 / 0.8, 1])
    assert result.true[[3, 9]] == pytest.approx([1 / 2, 1])
    assert np.isnan(result.true[0])
    assert result.bias.value == pytest.approx((0.375 + 1 - 0.5 - 1) / 2)
    assert result.error.value == pytest.approx(0.125 / 2)


def test_a_calibrated_attribution_has_no_bias_and_no_error() -> None:
    found = claiming({"text-0": 0.5, "image-0": 0.5}, {"image-0": 1.0}, {"text-1": 1.0})
    result = calibration([judged(found, truth_of((FACT, PICTURE), (PICTURE,), (OTHER_FACT,)))] * 5)
    assert result.sentences.sum() == 15
    assert (result.bias.value, result.bias.low, result.error.high) == (0, 0, 0)


def test_sentences_that_are_wrong_and_prompts_nobody_looked_at_do_not_count() -> None:
    found = claiming({"text-0": 1.0}, {"image-0": 1.0}, {})
    half = judged(found, truth_of(None, (PICTURE,), (TONE,)))
    assert calibration([half]).sentences.sum() == 1
    trace, attribution, gold = judged(found, TRUTH)
    blind = replace(gold, scored=gold.scored & np.array([True, False, True, True]))
    assert calibration([(trace, attribution, blind)]).empty
    assert calibration([]).empty
