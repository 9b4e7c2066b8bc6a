"""Tag a recorded run with another spaCy pipeline, in addition to the tags it has. No model runs.

Knows the tagger and the run; the old tags stay, and replays choose by name.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from omnitrace.progress import Report, no_report
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import TAGS
from omnitrace.trace import Tagging, Trace
from recorder.adding import AddSummary, add_to_run
from recorder.tags import align_pos, load_tagger, prompt_sentences


def tag(
    run_path: Path,
    spacy_model: str = "",
    name: str = "",
    report: Report = no_report,
    *,
    splitter: str = "markdown",
) -> AddSummary:
    """Add the tags and sentences of a spaCy pipeline, the bundled one if none is named.

    `name` is what replays call them; the pipeline's and splitter's name and version if empty.
    `splitter`: of `SPLITTERS`. Samples that have them are skipped. Raises CommandError for a
    pipeline that is none, for a run that is none and for a name that is taken by other tags.
    """
    tagger = load_tagger(spacy_model or None, splitter)
    chosen = name or re.sub("[^a-z0-9_.-]", "-", tagger.name.lower())[:64]

    def tagged(trace: Trace) -> Tagging:
        tags = tagger.tag(trace.response)
        sentences = prompt_sentences(trace.prompt_text, trace.timeline, tagger)
        return Tagging(chosen, align_pos(trace.chars, tags), tags.sentences, sentences)

    about = {"tagger": tagger.name, "spacy": version("spacy")}
    with Adder.open(run_path, TAGS, chosen, about) as adder:
        return add_to_run(adder, tuple(adder.run), tagged, report)
