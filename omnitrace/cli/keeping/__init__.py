"""Verbs that maintain runs: what they hold, whether it is whole, and where it goes."""

VERBS = {
    "info": (
        "Keep",
        "omnitrace.cli.keeping.info:info",
        "Say what a run holds: samples, model, signals, bytes.",
    ),
    "du": (
        "Keep",
        "omnitrace.cli.keeping.du:du",
        "Say what a run takes on its disk, by signal, level and column.",
    ),
    "verify": (
        "Keep",
        "omnitrace.cli.keeping.verify:verify",
        "Check every file of a run, and with --deep every number's legality.",
    ),
    "gc": (
        "Keep",
        "omnitrace.cli.keeping.gc:gc",
        "Remove what killed writers left in a run.",
    ),
    "copy": (
        "Keep",
        "omnitrace.cli.keeping.copy:copy",
        "Copy a run, to another disk or store, checked.",
    ),
    "merge": (
        "Keep",
        "omnitrace.cli.keeping.copy:merge",
        "Unite runs that were recorded alike.",
    ),
    "export": (
        "Keep",
        "omnitrace.cli.keeping.export:export",
        "Write a run to one HDF5 file.",
    ),
    "import": (
        "Keep",
        "omnitrace.cli.keeping.import_:import_",
        "Make a run of an HDF5 file, or of what inseq or vLLM-Hook saved.",
    ),
}
"""Verb → its heading in the help, its function, what it does."""
