"""The timeline's shapes, dtypes and names."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from omnitrace.timeline import Modality, Timeline
from tests.build import make_timeline


def test_labels_are_the_names_used_everywhere() -> None:
    assert [m.label for m in Modality] == ["text", "image", "audio", "video", "special"]
    assert [int(m) for m in Modality] == [0, 1, 2, 3, 4]


def test_blank_belongs_to_nothing() -> None:
    blank = Timeline.blank(3)
    assert len(blank) == 3
    assert (blank.modality == Modality.SPECIAL).all()
    assert np.isnan([blank.start_s, blank.end_s]).all()
    assert not blank.chars.any()
    for name in ("part", "medium", "row", "column", "frame"):
        assert (getattr(blank, name) == -1).all()


def test_every_field_has_its_dtype() -> None:
    for line in (Timeline.blank(2), Timeline.blank(0), make_timeline()[0]):
        found = {f.name: getattr(line, f.name).dtype for f in fields(line)}
        assert found == Timeline.dtypes()
        assert {len(getattr(line, name)) for name in found} == {len(line)}
        assert line.chars.shape == (len(line), 2)
