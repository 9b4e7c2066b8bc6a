"""Standings of methods that take every modality beside those that take text alone, and pairs.

All compete on prompts of text alone; on all prompts those that can. Knows standings, no peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.faithfulness import COLUMNS, table_of
from omnitrace import Run
from replay.evaluation import Gold
from replay.methods.leaderboard import Entry, Standing, leaderboard, to_json
from replay.methods.measure import Tally
from replay.stats import Estimate, divided, of_sums

Float64 = npt.NDArray[np.float64]

MEDIA = ("image", "audio", "video")
TEXT_COLUMNS = {"f1_text": "F1", "lds": "LDS", "drop-1": "top-1 drop"}


@dataclass(frozen=True)
class Pair:
    """One method's standing on prompts of text, and on all; None where it takes no media."""

    text: Standing
    all: Standing | None

    @property
    def name(self) -> str:
        return self.text.name


def of_text(run: Run, golds: Mapping[str, Gold]) -> list[str]:
    """The ids of prompts without any medium."""
    return [id for id in golds if not run[id].media]


def compete(
    run: Run, golds: Mapping[str, Gold], entries: Mapping[str, Entry], text_only: Sequence[str]
) -> list[Pair]:
    """Every entry on every sample that it can take, in the order of the entries."""
    texts = {id: golds[id] for id in of_text(run, golds)}
    others = {id: gold for id, gold in golds.items() if id not in texts}
    able = {name: entry for name, entry in entries.items() if name not in text_only}
    rest = {standing.name: standing for standing in leaderboard(run, others, able)}
    return [
        Pair(standing, joined(standing, rest[standing.name]) if standing.name in rest else None)
        for standing in leaderboard(run, texts, entries)
    ]


def joined(a: Standing, b: Standing) -> Standing:
    """One standing of two sets of samples."""
    return Standing(
        a.name,
        a.judgements + b.judgements,
        {name: _both(a.tallies[name], b.tallies[name]) for name in a.tallies},
        a.calls + b.calls,
        a.seconds + b.seconds,
        a.failed | b.failed,
    )


def _both(a: Tally, b: Tally) -> Tally:
    why = {*a.unanswered, *b.unanswered}
    refused = {name: a.unanswered.get(name, 0) + b.unanswered.get(name, 0) for name in why}
    return Tally(a.sums + b.sums, a.counts + b.counts, refused)


def rows(pairs: Iterable[Pair], pass_seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """JSON data: a row a method, what it cannot take, and its numbers on text and on all.

    `pass_seconds`: what a recorded pass took, of the methods whose passes were recorded.
    """
    return [
        {
            "method": pair.name,
            "cannot": [] if pair.all else list(MEDIA),
            "text": _row(pair.text, pass_seconds),
            "all": pair.all and _row(pair.all, pass_seconds),
        }
        for pair in pairs
    ]


def _row(standing: Standing, pass_seconds: Mapping[str, float]) -> dict[str, Any]:
    [found] = to_json([standing], pass_seconds.get(standing.name, 0.0))
    return found


def differences(first: Pair, others: Iterable[Pair]) -> list[dict[str, Any]]:
    """`first` less each of the others, in F1 and LDS, on all prompts and on texts."""
    return [
        {
            "method": other.name,
            "all": _difference(first.all, other.all),
            "text": _difference(first.text, other.text),
        }
        for other in others
    ]


def _difference(ours: Standing | None, theirs: Standing | None) -> dict[str, Any] | None:
    if ours is None or theirs is None:
        return None
    return {"f1": _json(f1_difference(ours, theirs)), "lds": _json(lds_difference(ours, theirs))}


def f1_difference(a: Standing, b: Standing) -> Estimate:
    """F1 of all labels; both standings' samples are drawn together."""
    counts = [[one.tally[-1, :3] for one in standing.judgements] for standing in (a, b)]
    return of_sums(np.concatenate(counts, axis=1), lambda sums: _f1(sums, 0) - _f1(sums, 3))


def _f1(sums: Float64, at: int) -> Float64:
    return divided(2 * sums[..., at], sums[..., at + 1] + sums[..., at + 2])


def lds_difference(a: Standing, b: Standing) -> Estimate:
    """LDS, over spans; ValueError unless both were measured on the same samples."""
    one, other = a.tallies["lds"], b.tallies["lds"]
    if one.counts != other.counts:
        raise ValueError(f"{a.name} and {b.name} have no LDS of the same spans")
    sums = np.stack([np.subtract(one.sums, other.sums), np.array(one.counts, np.float64)], axis=1)
    return of_sums(sums, lambda total: divided(total[..., 0], total[..., 1]))


def _json(found: Estimate) -> dict[str, Any]:
    known = not np.isnan(found.value)
    return {
        "value": found.value if known else None,
        "ci": [found.low, found.high] if known else None,
    }


def markdown(board: Mapping[str, Any]) -> str:
    """The three tables of the documentation."""
    texts = [row["text"] for row in board["methods"]]
    whole = [row["all"] or {"method": row["method"]} for row in board["methods"]]
    return (
        f"On all {board['samples']} prompts; — where a peer cannot take images, audio and video:"
        f"\n\n{table_of(whole, COLUMNS)}\n"
        f"On the {board['texts']} prompts of text alone:\n\n{table_of(texts, TEXT_COLUMNS)}\n"
        "`default` less each method that takes a single pass, samples drawn in pairs:\n\n"
        f"{_pairs(board['differences'])}\n"
        f"*Fresh planted samples, {board['masks']} masks each, bundled model; in brackets 95 % "
        "intervals over samples; passes of the model beyond the answer, and seconds, a sample.*\n"
    )


def _pairs(found: Sequence[Mapping[str, Any]]) -> str:
    head = "| `default` less | all F1 | all LDS | text F1 | text LDS |\n|---|--:|--:|--:|--:|\n"
    places = [(on, metric) for on in ("all", "text") for metric in ("f1", "lds")]
    return head + "".join(
        f"| `{row['method']}` | "
        f"{' | '.join(_signed(row[on] and row[on][metric]) for on, metric in places)} |\n"
        for row in found
    )


def _signed(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "—"
    return f"{value['value']:+.2f} [{value['ci'][0]:+.2f}, {value['ci'][1]:+.2f}]"
