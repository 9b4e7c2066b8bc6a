"""The baselines, one registry: where each is loaded from, and on what its results depend.

Those that need a model are reached by name and imported when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from omnitrace.baseline import Answerer, BaselineConfig, Comparer
from omnitrace.errors import extra

Load = Callable[[Mapping[str, Any], BaselineConfig], Comparer | Answerer]
"""What a module's `load` is: from the run's identity and the options to the method, ready."""

WEIGHTS = ("model", "revision", "dtype", "quantize")


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    - `module`: has the function `load`, a `Load`;
    - `depends`: the options on which the results depend;
    - `threshold`: the usual one of its similarities; None for a method that answers with labels.
    """

    module: str
    depends: tuple[str, ...]
    threshold: float | None

    @property
    def needs_model(self) -> bool:
        """Whether it is the recorder's."""
        return self.module.startswith("recorder.")


METHODS = {
    "random": Method("replay.baselines.random", ("seed", "time"), 0.5),
    "embedding": Method("recorder.baselines.embedding", WEIGHTS, 0.25),
    "clip": Method("recorder.baselines.clip", WEIGHTS, 0.25),
    "self": Method("recorder.baselines.self_attribution", (*WEIGHTS, "max_new_tokens"), None),
}
"""0.25 is the paper's. It does not say how many pairs chance keeps: half of them here."""


def load_method(
    name: str, identity: Mapping[str, Any], config: BaselineConfig
) -> Comparer | Answerer:
    """The method, ready; CommandError where the [record] extra is not installed."""
    with extra("record", f"the baseline '{name}' needs"):
        load: Load = import_module(METHODS[name].module).load
        return load(identity, config)
