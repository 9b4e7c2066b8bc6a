"""The timeline cut into units as a configuration says."""

from __future__ import annotations

from omnitrace.arrays import Bool
from omnitrace.prompt import Prompt
from omnitrace.units.config import UnitConfig
from omnitrace.units.data import Cut, Kind, Units
from omnitrace.units.media import cut_media, speech_of
from omnitrace.units.naming import Content, collect
from omnitrace.units.text import TEXT_UNITS, cut_text, request_tokens
from omnitrace.units.user import cut_user, defined_units


def cut_units(prompt: Prompt, config: UnitConfig) -> Units:
    """The source units of `prompt` under `config` (paper §3.1).

    Text units hold the text tokens of content parts; a token belongs to the sentence in which its
    first non-space character lies (a blank one: its first character), so blank tokens between
    sentences belong to none. Media units hold the tokens of their medium, by the midpoint of the
    token's time. What the chat template adds belongs to no unit.

    Under a segmentation, a medium in which it has stretches has those as its units of audio;
    a video keeps its units of vision. Of stretches that overlap the later one counts, and what lies
    between stretches belongs to none, as a pause does. A medium without stretches keeps its time
    bins. Raises SampleError if the prompt has audio and no such segmentation.

    Parts that `config.file` cuts have the user's units alone; SampleError if it lacks the sample.
    With `request = "leave-out"` the request (`request_tokens`) belongs to no unit, with "unnamed"
    its units compete but are not named, unless it is all there is.
    """
    cut = Cut.blank(prompt.n)
    text = TEXT_UNITS[config.text]
    pieces, speech = text.pieces(prompt), speech_of(prompt, config)
    user = defined_units(prompt, config.file)
    cut_text(cut, prompt, text, pieces)
    cut_media(cut, prompt, config, speech)
    cut_user(cut, prompt, user)
    request = _request(cut, prompt)
    left_out, unnamed = (
        request & (config.request == "leave-out"),
        request & (config.request == "unnamed"),
    )
    cut.drop(left_out)
    return collect(cut, prompt, config, Content(pieces, speech, user.units, left_out, unnamed))


def _request(cut: Cut, prompt: Prompt) -> Bool:
    """(n,): the tokens of the request, none where no other token is in a unit."""
    request: Bool = request_tokens(prompt) & (cut.kind != Kind.USER)
    return request & bool((cut.kind[~request] >= 0).any())
