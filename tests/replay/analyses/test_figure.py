"""Figures: files whole or not at all, elements that fit a page; all analyses draw."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from omnitrace.errors import CommandError, OmniTraceError
from replay import PRESETS
from replay.analyses import ANALYSES, Material, Result
from replay.analyses.figure import INK, inline_svg, render, save
from replay.evaluation import golds_of_truths
from tests.build import make_trace
from tests.replay.analyses.golds import FACT, PICTURE, TONE, truth_of


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    traces = {f"sample-{seed}": make_trace(f"sample-{seed}", seed) for seed in range(2)}
    truths = {id: truth_of((FACT,), (PICTURE,), (TONE,), id=id) for id in traces}
    material = Material(
        traces,
        PRESETS["paper"],
        golds=golds_of_truths(traces, truths),
        answers={id: truth.answer for id, truth in truths.items()},
    )
    return {name: one.run(material) for name, one in ANALYSES.items()}


def test_every_figure_is_an_element_for_a_page(results: dict[str, Result]) -> None:
    ids: set[str] = set()
    for result in results.values():
        element = inline_svg(result)
        assert ElementTree.fromstring(element).tag.endswith("svg")
        assert INK not in element
        assert "<metadata" not in element
        assert not re.findall(r'(?:href|src)="(?!#)', element)
        own = set(re.findall(r'\bid="([^"]+)"', element))
        assert ids.isdisjoint(own)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', element)) <= own
        ids |= own


def test_files(results: dict[str, Result], tmp_path: Path) -> None:
    for kind, magic in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        path = tmp_path / f"position.{kind}"
        save(results["position"], path)
        assert path.read_bytes().startswith(magic)
    assert sorted(os.listdir(tmp_path)) == ["position.png", "position.svg"]


def test_the_same_result_gives_the_same_bytes(results: dict[str, Result]) -> None:
    assert render(results["budget"], "svg") == render(results["budget"], "svg")


def test_what_cannot_be_written(results: dict[str, Result], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"ends in \.svg or \.png, 'figure.pdf' does not"):
        save(results["position"], tmp_path / "figure.pdf")
    with pytest.raises(OmniTraceError, match=r"cannot write the figure .*figure\.svg: No such"):
        save(results["position"], tmp_path / "nowhere" / "figure.svg")
