"""How a model's weights are loaded: their precision, where they lie, whether they are quantised.

Knows the arguments of `from_pretrained`; no particular model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers

from omnitrace.errors import CommandError
from recorder.config import RecordConfig

hf: Any = transformers


@dataclass(frozen=True)
class Weights:
    """`dtype`, `device`, `device_map` and `quantize` as in RecordConfig."""

    dtype: str = "auto"
    device: str = "auto"
    device_map: str = ""
    quantize: str = "no"

    @classmethod
    def of(cls, config: RecordConfig) -> Weights:
        return cls(config.dtype, config.device, config.device_map, config.quantize)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the model's `from_pretrained`."""
        kind = "auto" if self.dtype == "auto" else getattr(torch, self.dtype)
        options: dict[str, Any] = {"dtype": kind}
        if self.device_map:
            options["device_map"] = self.device_map
        if self.quantize != "no":
            bits = {f"load_in_{self.quantize}": True}
            options["quantization_config"] = hf.BitsAndBytesConfig(**bits)
            options.setdefault("device_map", {"": choose_device(self.device)})
        return options

    def settle(self, model: Any) -> Any:
        """The loaded model where it belongs, for inference."""
        if "device_map" not in self.options:
            model = model.to(choose_device(self.device))
        return model.eval().requires_grad_(False)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; CommandError for what torch does not know or have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CommandError(
            f"device '{name}' cannot be used here: {first_sentence(error)} "
            "Legal: auto, cpu, cuda, cuda:0 …"
        ) from error
    return device


def first_sentence(error: BaseException) -> str:
    """What an error of another library says first, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0].rstrip(".")[:200] + "."
