"""MISP-Meeting: recorded meetings, to be summarised (Chen et al. 2025, ACL; the paper's "MISP").

The corpus is given out under a licence and its folders are not described in public. Assumed: a
folder with an audio file a session, at any depth, and for each the human summary as SESSION.txt, at
any depth too. Audio files without a summary are imported without a reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omnitrace.errors import CommandError, OmniTraceError
from recorder.datasets.items import Item, MediaFile
from recorder.datasets.media import DatasetMedia
from recorder.datasets.rows import read_text

ASK = "\nSummarise the meeting."
AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".m4a", ".ogg"}


def read(source: Path, media: DatasetMedia) -> Iterator[Item]:
    """The audio of a session, then the request."""
    if not source.is_dir():
        raise CommandError(f"{source} is no folder: name the one that holds the sessions.")
    files = [path for path in media.paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if not files:
        raise CommandError(f"there is no sound file in {media.folder}.")
    summaries = _by_session([path for path in DatasetMedia(source).paths if path.suffix == ".txt"])
    for session, audio in _by_session(files).items():
        text = read_text(summaries[session]).strip() if session in summaries else ""
        yield Item(session, (MediaFile("audio", audio.name, audio), ASK), reference=text)


def _by_session(paths: list[Path]) -> dict[str, Path]:
    """Files by their stems, in order; OmniTraceError if two have the same."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise OmniTraceError(
                f"{found[path.stem]} and {path} are of the same session: keep one of them."
            )
        found[path.stem] = path
    return found
