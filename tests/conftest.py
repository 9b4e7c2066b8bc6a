"""How Hypothesis draws: without deadlines (machines are shared), and the same examples in CI.

Code that comes with a model, and masses, are kept in folders of the session's, not in the user's
cache. Files are not waited for until they are on the disk: no test outlives its machine, and the
waiting took a tenth of the time of those that write runs. Child processes do wait.
"""

from __future__ import annotations

import gc
import os
import tempfile

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
MODULES = tempfile.TemporaryDirectory(prefix="omnitrace-modules-")
os.environ["HF_MODULES_CACHE"] = MODULES.name
MASSES = tempfile.TemporaryDirectory(prefix="omnitrace-masses-")
os.environ["OMNITRACE_CACHE"] = MASSES.name
os.fsync = lambda fd: None


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking for garbage in it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 100)
