"""Which of the samples are meant: by id, by shard, the first few."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omnitrace.errors import CommandError, nearest
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample


def select(samples: Sequence[Sample], config: RecordConfig) -> list[Sample]:
    """`config.ids` of them if any are named, of these the shard, of these the first `limit`.

    Raises CommandError for an id that no sample has, and for a shard that is none.
    """
    chosen = _named(samples, config.ids) if config.ids else list(samples)
    if config.shard:
        part, parts = _shard(config.shard)
        chosen = chosen[part - 1 :: parts]
    return chosen[: config.limit or None]


def _named(samples: Sequence[Sample], ids: str) -> list[Sample]:
    wanted = [id.strip() for id in ids.split(",") if id.strip()]
    known = {sample.id: sample for sample in samples}
    for id in wanted:
        if id not in known:
            raise CommandError(
                f"--ids: there is no sample '{id}': {nearest(id, list(known)[:20])}."
            )
    return [known[id] for id in dict.fromkeys(wanted)]


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= part <= parts:
        raise CommandError(f"--shard {text}: write i/N, from 1/N to N/N, such as 2/8.")
    return part, parts
