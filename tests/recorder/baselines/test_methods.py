"""The registry of baselines: every entry can be loaded by its name."""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module

import pytest

from omnitrace.baseline import Answerer, BaselineConfig, Comparer
from recorder.baselines.clip import Clip
from recorder.baselines.embedding import Embedding
from recorder.baselines.self_attribution import SelfAttribution
from replay.baselines.methods import METHODS
from replay.baselines.random import RandomMatch


@pytest.mark.parametrize("name", METHODS)
def test_an_entry_has_a_loader_and_depends_on_options(name: str) -> None:
    method = METHODS[name]
    load = import_module(method.module).load
    assert list(inspect.signature(load).parameters) == ["identity", "config"]
    assert set(method.depends) <= {field.name for field in fields(BaselineConfig)}


def test_methods_compare_or_answer() -> None:
    for kind in (RandomMatch, Embedding, Clip):
        assert issubclass(kind, Comparer)
        assert not issubclass(kind, Answerer)
    assert issubclass(SelfAttribution, Answerer)
