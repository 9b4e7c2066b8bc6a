"""How samples name media: a path, a `file://` URL, a `data:` URL, base64. Opens nothing."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from omnitrace.text import one_line

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*://|data:", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")


@dataclass(frozen=True)
class Data:
    """The bytes of a `data:` URL; `media_type` such as `image/png`, empty if it names none."""

    data: bytes
    media_type: str = ""


def locate(value: str, folder: Path) -> Path | Data:
    """What a path relative to `folder`, a `file://` URL or a `data:` URL names.

    ValueError, whose text ends a sentence that begins with the value, for any other address.
    """
    scheme = _SCHEME.match(value)
    if scheme is None:
        return folder / value
    if scheme[0].lower() == "data:":
        return _data(value)
    if scheme[0].lower() == "file://":
        host, slash, path = value[len("file://") :].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            raise ValueError("is no file:// URL of this machine; write file:///path/to/file")
        return Path("/" + unquote(path))
    raise ValueError(
        "is an address; a medium must be a file on this machine: download it and name its path"
    )


def base64_bytes(text: str) -> bytes:
    """The bytes that base64 text stands for, white space ignored; ValueError if it is none."""
    try:
        return binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"is not base64: {_reason(error)}") from error


def shown(value: str) -> str:
    """The beginning of a value, for a message."""
    return one_line(value[:200], 80)


def _data(url: str) -> Data:
    header, comma, body = url[len("data:") :].partition(",")
    if not comma:
        raise ValueError("is no data: URL: there is no comma before its data")
    media_type, *parameters = [part.strip().lower() for part in header.split(";")]
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("is no data: URL: its media type is not of the form image/png")
    text = unquote(body) if "%" in body else body
    data = base64_bytes(text) if "base64" in parameters[-1:] else unquote_to_bytes(body)
    return Data(data, media_type)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it holds other characters"
    return str(error)[:1].lower() + str(error)[1:]
