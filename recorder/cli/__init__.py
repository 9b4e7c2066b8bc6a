"""The verbs that record: which there are. Each is imported only when it is called."""

VERBS = {
    "dataset": (
        "Record",
        "recorder.cli.dataset:dataset",
        "Turn a published data set into samples to record.",
    ),
    "models": (
        "Record",
        "recorder.cli.models:models",
        "Say which models can be recorded, and what of one, without its weights.",
    ),
    "record": (
        "Record",
        "recorder.cli.record:record",
        "Run a model over samples and record what its answers were caused by.",
    ),
    "segment": (
        "Record",
        "recorder.cli.segment:segment",
        "Cut a recorded run's audio into words, sentences or bins to choose from.",
    ),
    "tag": (
        "Record",
        "recorder.cli.tag:tag",
        "Tag a recorded run's answers again with another spaCy pipeline.",
    ),
    "ablate-inputs": (
        "Record",
        "recorder.cli.ablate_inputs:ablate_inputs",
        "Record how likely answers stay when parts of their prompts are gone.",
    ),
    "gate": (
        "Record",
        "recorder.cli.gate:gate",
        "Keep samples whose answers are right, stable and caused by their evidence.",
    ),
}
"""Verb → its heading in the help, its function, what it does."""
