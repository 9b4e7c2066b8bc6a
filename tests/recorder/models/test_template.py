"""Arguments and files of chat templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace.errors import CommandError
from recorder.config import RecordConfig
from recorder.models.settings import Settings, read_chat_template, template_args


def test_arguments() -> None:
    assert template_args("") == template_args(" ") == {}
    assert template_args('{"enable_thinking": false, "a": [1]}') == {
        "enable_thinking": False,
        "a": [1],
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no JSON"),
        ("enable_thinking=false", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "takes a JSON object"),
        ("null", "takes a JSON object"),
        ('{"messages": []}', "cannot set 'messages': the samples file has the messages"),
        ('{"tools": []}', "cannot set 'tools': the samples file"),
        ('{"chat_template": ""}', "--chat-template takes"),
        ('{"fps": 1}', "--fps"),
        ('{"tokenize": true}', "cannot set 'tokenize'"),
        ('{"bos_token": ""}', "cannot set 'bos_token'"),
        ('{"add_generation_prompt": false}', "cannot set 'add_generation_prompt'"),
    ],
)
def test_arguments_that_are_none(text: str, why: str) -> None:
    with pytest.raises(CommandError) as caught:
        template_args(text)
    assert why in str(caught.value)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.jinja"
    assert read_chat_template("") == ""
    for data, why in ((None, "cannot read"), (b"\xff\xfe", "no UTF-8"), (b" \n", "is empty")):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(CommandError, match=why):
            read_chat_template(str(path))
    path.write_text("{{ messages }}")
    assert read_chat_template(str(path)) == "{{ messages }}"


def test_they_are_part_of_the_identity_where_they_are_given(tmp_path: Path) -> None:
    assert Settings.of(RecordConfig()).identity == {}
    path = tmp_path / "a.jinja"
    path.write_text("{{ messages }}")
    config = RecordConfig(
        template_args='{"a": 1}', chat_template=str(path), max_pixels=100, min_pixels=10
    )
    found = Settings.of(config).identity
    assert found.pop("chat_template").startswith("sha256:")
    assert found == {"template_args": {"a": 1}, "max_pixels": 100, "min_pixels": 10}
