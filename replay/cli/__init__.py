"""The verbs that need a recorded run and no model: which there are."""

VERBS = {
    "replay": (
        "Replay",
        "replay.cli.replay:replay",
        "Attribute a recorded run's answers, on the CPU, under any configuration.",
    ),
    "prior": (
        "Replay",
        "replay.cli.prior:prior",
        "Write what each place of a prompt gets in a run, whatever is asked.",
    ),
    "report": (
        "Replay",
        "replay.cli.report:report",
        "Write attributions to one file: a page, rows, JSON, or tables for a paper.",
    ),
    "analyse": (
        "Replay",
        "replay.cli.analyse:analyse",
        "Ask a question about a run's attributions: a table, a figure or JSON.",
    ),
    "sweep": (
        "Replay",
        "replay.cli.sweep:sweep",
        "Try thousands of configurations, and report the best on held-out samples.",
    ),
    "ablate": (
        "Replay",
        "replay.cli.ablate:ablate",
        "Score a run with each part of curation left out: Table 3 of the paper.",
    ),
    "evaluate": (
        "Judge",
        "replay.cli.evaluate:evaluate",
        "Score a run's attributions against labels or planted truth, by modality.",
    ),
    "calibrate": (
        "Judge",
        "replay.cli.calibrate:calibrate",
        "Learn from labels how probable it is that a source is right.",
    ),
    "judge": (
        "Judge",
        "replay.cli.judge:judge",
        "Let a model label which sources support each sentence of a run's answers.",
    ),
    "agree": (
        "Judge",
        "replay.cli.agree:agree",
        "Say how far two label files agree, by modality.",
    ),
    "options": (
        "Judge",
        "replay.cli.options:options",
        "Say whether attributions point at the option that the model chose.",
    ),
    "baseline": (
        "Judge",
        "replay.cli.baseline:baseline",
        "Predict sources by a simpler method: chance, embeddings, CLIP, the model.",
    ),
    "faithful": (
        "Ask for causes",
        "replay.cli.faithful:faithful",
        "Measure whether attributions are what caused the answers, without a model.",
    ),
    "compare": (
        "Ask for causes",
        "replay.cli.compare:compare",
        "Show where two attributions part ways, and what may explain it.",
    ),
    "learn-heads": (
        "Ask for causes",
        "replay.cli.learn_heads:learn_heads",
        "Learn from ablations which attention heads tell what answers need.",
    ),
}
"""Verb → its heading in the help, its function, what it does."""
