"""Where a data set's media lie. Names in strangers' files are looked up, never followed as paths.

Knows folders; no data set.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath

from omnitrace.errors import OmniTraceError
from omnitrace.text import one_line

SUFFIXES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
}


class DatasetMedia:
    """The files of a data set, by their names; unlike a recording it has no digests of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str, where: str) -> Path | None:
        """The file that is called like the last piece of `name`, None if there is none.

        OmniTraceError if `name` names no file, or several files are called so.
        """
        plain = PurePosixPath(name.replace("\\", "/")).name
        if plain in ("", "..") or "\0" in plain:
            raise OmniTraceError(f"{where}: '{one_line(name)}' is not the name of a file.")
        path = self.folder / plain  # a folder of a million images need not be listed
        if path.is_file():
            return path
        found = self._files.get(plain, [])
        if len(found) > 1:
            raise OmniTraceError(
                f"{where}: '{one_line(plain)}' is in {self.folder} twice, as {found[0]} and "
                f"{found[1]}: name the folder that holds the right one with --media."
            )
        return found[0] if found else None

    @cached_property
    def paths(self) -> list[Path]:
        """All files, sorted."""
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file()]

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for path in self.paths:
            files.setdefault(path.name, []).append(path)
        return files


def image_suffix(data: bytes) -> str:
    """The suffix of an image file, by its first bytes; `.img` where they are unknown.

    For people: readers go by the bytes.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    known = (suffix for start, suffix in SUFFIXES.items() if data.startswith(start))
    return next(known, ".img")
