"""How media are named: paths, URLs and base64, and one sentence for what is none of them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from recorder.inputs.schema import Data, base64_bytes, locate, shown

HERE = Path("folder")
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
CODED = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.png", HERE / "a.png"),
        ("deep/../a b.png", HERE / "deep/../a b.png"),
        ("/abs/a.png", Path("/abs/a.png")),
        ("10:30.wav", HERE / "10:30.wav"),
        ("a%20b.png", HERE / "a%20b.png"),
        ("file:///abs/a%20b%23.png", Path("/abs/a b#.png")),
        ("FILE://localhost/a.png", Path("/a.png")),
        (f"data:image/png;base64,{CODED}", Data(PNG, "image/png")),
        (f"DATA:Image/PNG;charset=x;BASE64,{CODED}", Data(PNG, "image/png")),
        (f"data:;base64,{CODED[:4]} \n{CODED[4:]}", Data(PNG)),
        (f"data:image/png;base64,{CODED.replace('+', '%2B').replace('=', '%3D')}",
         Data(PNG, "image/png")),
        ("data:audio/wav,a%00b", Data(b"a\0b", "audio/wav")),
        ("data:,", Data(b"")),
    ],
)  # fmt: skip
def test_what_a_value_names(value: str, expected: Path | Data) -> None:
    assert locate(value, HERE) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://x.org/a.png", "is an address; a medium must be a file on this machine"),
        ("s3://bucket/a.png", "is an address"),
        ("file://server/share/a.png", "is no file:// URL of this machine"),
        ("file://a.png", "is no file:// URL of this machine"),
        ("data:image/png;base64", "there is no comma"),
        ("data:png;base64,AAAA", "media type is not of the form image/png"),
        ("data:image/\x1b[2J;base64,AAAA", "media type is not of the form image/png"),
        ("data:image/png;base64,A", "is not base64: "),
        ("data:image/png;base64,AAA*", "is not base64: "),
        ("data:image/png;base64,AAAA=AAA", "is not base64: "),
        ("data:image/png;base64,A\u00e9AA", "is not base64: it holds other characters"),
    ],
)
def test_what_is_refused(value: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        locate(value, HERE)
    assert "\n" not in str(caught.value)


def test_base64_ignores_white_space() -> None:
    assert base64_bytes(f" {CODED[:5]}\r\n\t{CODED[5:]}\n") == PNG
    assert base64_bytes("") == b""


def test_values_are_shown_short_and_safe() -> None:
    assert (
        shown("data:image/png;base64," + "A" * 10_000) == "data:image/png;base64," + "A" * 57 + "…"
    )
    assert "\x1b" not in shown("\x1b[2J")
