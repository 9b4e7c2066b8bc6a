"""Configs: strict parsing, messages that name the legal values, TOML and back."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.config import build, digest, leaves, load_toml, nested, option, to_dict, to_toml
from omnitrace.errors import CommandError


@dataclass(frozen=True)
class Inner:
    share: float = option(0.5, "a share", bounds=(0.0, 1.0, 0.1))
    weights: Mapping[str, float] = option(
        {"NOUN": 1.0, "VERB": 0.9}, "weights", choices=("NOUN", "VERB", "ADJ")
    )


@dataclass(frozen=True)
class Outer:
    name: str = option("any", "a free string")
    shape: str = option("ring", "a choice", choices=("ring", "cross"))
    count: int = option(3, "a count", bounds=(1, 9, 1))
    loud: bool = option(False, "a switch")
    code: str = option("a1", "a formed string", form=("[a-z][0-9]", "a letter and a digit"))
    inner: Inner = field(default_factory=Inner)


def test_build_lays_values_over_the_base() -> None:
    built = build(Outer(), {"count": 4, "inner": {"share": 1, "weights": {"ADJ": 0.2}}}, "f.toml")
    assert built == Outer(
        count=4, inner=Inner(share=1.0, weights={"NOUN": 1.0, "VERB": 0.9, "ADJ": 0.2})
    )
    assert isinstance(built.inner.share, float)


def test_leaves_are_the_values_in_field_order_and_a_table_of_weights_is_one() -> None:
    found = [(leaf.path, leaf.field.name, leaf.value) for leaf in leaves(Outer())]
    assert found == [
        ("name", "name", "any"),
        ("shape", "shape", "ring"),
        ("count", "count", 3),
        ("loud", "loud", False),
        ("code", "code", "a1"),
        ("inner.share", "share", 0.5),
        ("inner.weights", "weights", {"NOUN": 1.0, "VERB": 0.9}),
    ]


def test_leaves_nested_again_build_the_same_configuration() -> None:
    other = Outer("x", "cross", 5, True, "b2", Inner(0.25, {"NOUN": 0.5, "VERB": 0.1}))
    values = nested({leaf.path: leaf.value for leaf in leaves(other)})
    assert values["inner"] == {"share": 0.25, "weights": {"NOUN": 0.5, "VERB": 0.1}}
    assert build(Outer(), values, "f") == other


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"coumt": 1}, "f.toml: unknown key 'coumt'; did you mean 'count'?"),
        ({"shape": "rung"}, "f.toml: shape: 'rung' is not legal; legal: ring, cross."),
        ({"shape": 1}, "f.toml: shape: 1 is not legal; legal: ring, cross."),
        ({"name": 1}, "f.toml: name: 1 is not legal; legal: a string."),
        ({"count": 0}, "f.toml: count: 0 is not legal; legal: a whole number from 1 to 9."),
        ({"count": 2.0}, "f.toml: count: 2.0 is not legal; legal: a whole number from 1 to 9."),
        ({"count": True}, "f.toml: count: True is not legal"),
        ({"loud": 1}, "f.toml: loud: 1 is not legal; legal: true or false."),
        ({"code": "b22"}, "f.toml: code: 'b22' is not legal; legal: a letter and a digit."),
        ({"code": 2}, "f.toml: code: 2 is not legal; legal: a letter and a digit."),
        ({"inner": 1}, "f.toml: inner: expected a table of keys, got 1."),
        ({"inner": {"share": 1.5}}, "inner: share: 1.5 is not legal; legal: a number from 0 to 1."),
        ({"inner": {"share": float("nan")}}, "inner: share: nan is not legal"),
        ({"inner": {"weights": {"NUON": 1.0}}}, "unknown key 'NUON'; did you mean 'NOUN'?"),
        ({"inner": {"weights": {"NOUN": 2}}}, "NOUN: 2 is not legal; legal: a number from 0 to 1."),
        ({"inner": {"weights": 3}}, "weights: expected a table of keys, got 3."),
    ],
)  # fmt: skip
def test_build_says_what_is_wrong_where_and_what_is_legal(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(CommandError) as caught:
        build(Outer(), values, "f.toml")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


outers = st.builds(
    Outer,
    name=st.text(st.characters(exclude_categories=["Cs"])),
    shape=st.sampled_from(["ring", "cross"]),
    count=st.integers(1, 9),
    loud=st.booleans(),
    inner=st.builds(
        Inner,
        share=st.floats(0, 1),
        weights=st.fixed_dictionaries({"NOUN": st.floats(0, 1), "VERB": st.floats(0, 1)}),
    ),
)


@given(outers)
def test_toml_reads_back_equal(config: Outer) -> None:
    assert build(Outer(), tomllib.loads(to_toml(config)), "f.toml") == config


@given(outers, outers)
def test_digests_are_equal_if_and_only_if_configs_are(one: Outer, other: Outer) -> None:
    assert (digest(one) == digest(other)) == (to_dict(one) == to_dict(other))


def test_load_toml(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('shape = "cross"\n[inner]\nshare = 0.25\n', "utf-8")
    assert load_toml(Outer(), path) == Outer(shape="cross", inner=Inner(share=0.25))


def test_load_toml_of_no_file_and_of_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    with pytest.raises(CommandError, match=r"f\.toml: No such file"):
        load_toml(Outer(), path)
    for wrong in (b"shape = ", b"\xff\xfe"):
        path.write_bytes(wrong)
        with pytest.raises(CommandError, match=r"f\.toml is not TOML"):
            load_toml(Outer(), path)
