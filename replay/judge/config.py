"""The configuration of a judge. Data only; the key itself is never part of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from omnitrace.errors import CommandError


@dataclass(frozen=True)
class JudgeConfig:
    """The model, its server and how long to wait. CommandError if a value is not legal.

    Parameters
    ----------
    base_url
        the server's address up to and with /v1: OpenAI's, or any that speaks its chat completions
    model
        the model's name there
    api_key_env
        the environment variable that holds the key; a server of your own may need none
    temperature
        of the answers, 0 to 2; some models allow only 1
    timeout
        seconds that one answer may take
    tries
        how often a sample is asked, when the server fails and when the answer is not legal
    frames
        most images that are taken from a video, one a second or fewer
    text_only
        attach no media and ask about texts alone
    """

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    temperature: float = 0.0
    timeout: float = 300.0
    tries: int = 5
    frames: int = 32
    text_only: bool = False

    def __post_init__(self) -> None:
        legal = {
            "--base-url": urlsplit(self.base_url).scheme in ("http", "https"),
            "--temperature": 0 <= self.temperature <= 2,
            "--timeout": self.timeout > 0,
            "--tries": self.tries >= 1,
            "--frames": self.frames >= 1,
        }
        for flag, holds in legal.items():
            if not holds:
                value = getattr(self, flag[2:].replace("-", "_"))
                wanted = "must begin with http:// or https://" if "url" in flag else "is not legal"
                raise CommandError(f"{flag} {value} {wanted}.")

    @property
    def place(self) -> str:
        """The server for messages: its address without a name, a password or a query."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"
