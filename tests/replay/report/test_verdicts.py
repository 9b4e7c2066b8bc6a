"""Verdicts in reports: on the page, and in the rows, from removals that a run holds."""

from __future__ import annotations

from pathlib import Path

from omnitrace import open_run
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from replay import PRESETS, attribute
from replay.faithfulness.verdict import verdict_words
from replay.report.rows import rows_of_run
from tests.build import make_trace
from tests.replay.faithfulness.made import every_mask, needing
from tests.replay.report.pages import job_of, page_of, write_run


def test_the_page_and_the_rows_say_what_removals_did(tmp_path: Path) -> None:
    path = write_run(tmp_path / "kitchen", make_trace())
    assert 'class="verdict"' not in page_of(job_of(path), tmp_path / "before.html")
    with Adder.open(path, ABLATIONS, "mask", {}) as adder:
        [trace] = adder.run.values()
        owner = trace.units(PRESETS["paper"].units).owner_of_tokens(trace.n)
        adder.add(trace, every_mask(trace, owner, needing(1)))
    [trace] = open_run(path).values()
    found = attribute(trace, PRESETS["paper"])
    verdicts = [verdict for span in found.spans for verdict in span.judged]
    assert {verdict.cause for verdict in verdicts} >= {"caused", "not needed"}
    page = page_of(job_of(path), tmp_path / "after.html")
    words = [verdict_words(verdict) for verdict in verdicts if verdict.effect is not None]
    assert [page.count(f'<small class="verdict">{each}</small>') for each in words] == [
        words.count(each) for each in words
    ]
    ((*rows,),) = rows_of_run([(trace, found)], {})
    kept = [(row["cause"], row["effect"]) for row in rows if row["kept"]]
    assert kept == [(verdict.cause, verdict.effect) for verdict in verdicts]
    assert {(row["cause"], row["effect"]) for row in rows if not row["kept"]} <= {(None, None)}
