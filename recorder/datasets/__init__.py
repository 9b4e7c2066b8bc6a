"""Published data sets as samples: an importer each, from the files as their authors give them out.

An importer is one file here with `read(source, media) -> Iterator[Item]` and one line in
`DATASETS`. Knows files and formats; not models, runs or replays. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from omnitrace.errors import CommandError, nearest
from recorder.datasets.items import Item
from recorder.datasets.media import DatasetMedia

Read = Callable[[Path, DatasetMedia], Iterator[Item]]

DATASETS = {
    "mantis-eval": "recorder.datasets.mantis",
    "mmdialog": "recorder.datasets.mmdialog",
    "cliconsummation": "recorder.datasets.cliconsummation",
    "mmau": "recorder.datasets.mmau",
    "misp-meeting": "recorder.datasets.misp",
    "video-mme": "recorder.datasets.videomme",
}
"""Name → the module that has `read`."""


def read_dataset(name: str, source: Path, media: Path | None = None) -> Iterator[Item]:
    """The items of a published data set, in its order, read lazily.

    `source`: its file, or a folder where the data set is one; `media`: the folder in which its
    media lie, by default where the source lies. Raises CommandError for an unknown name or an
    unreadable source, OmniTraceError naming file, row and field where a row is not as published.
    """
    if name not in DATASETS:
        raise CommandError(f"no data set '{name}': {nearest(name, list(DATASETS))}.")
    if not source.exists():
        raise CommandError(f"there is no {source}: name the data set's file or folder.")
    if media is not None and not media.is_dir():
        raise CommandError(f"--media {media} is no folder: name the one that holds the media.")
    home = source if source.is_dir() else source.parent
    read: Read = import_module(DATASETS[name]).read
    return read(source, DatasetMedia(media or home))
