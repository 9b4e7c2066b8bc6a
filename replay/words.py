"""What table, report and browser say of an attribution in the same words. Knows no terminal."""

from __future__ import annotations

from replay.attribution import Attribution, Span

_RULES = {
    "least": "its best source is too unlikely to be right",
    "nameable": "too little of its scores lies on units that can be named",
}


def where_text(attribution: Attribution, steps: tuple[int, int] | None = None) -> str:
    """Where the scores of the steps, all by default, lie: `units 44 %, request 13 %, …`, places
    without any left out; empty where it is not known."""
    shares = attribution.where(steps).items()
    return ", ".join(f"{place} {share:.0%}" for place, share in shares if share >= 0.005)


def filtered_text(attribution: Attribution) -> str:
    """How many tokens a filter dropped; empty if none."""
    count = int(attribution.dropped.sum())
    return f"{count} token{'s' * (count != 1)} filtered" if count else ""


def reliability_text(span: Span) -> str:
    """Why a span is not attributable, or how probable it is that its best source is right; empty
    where neither is known."""
    if span.unattributable:
        return f"not attributable: {_RULES[span.unattributable]}"
    probability = span.reliability.probability if span.reliability else None
    return "" if probability is None else f"{probability:.0%} sure"


def sinks_warning(attribution: Attribution) -> str:
    """A sentence on a sample whose scores lie mainly on sinks, by `config.reliability.sinks`; empty
    for another."""
    share, most = attribution.sinks, attribution.config.reliability.sinks
    if not share > most:
        return ""
    return (
        f"sample '{attribution.id}': {share:.0%} of its scores on the prompt lie on the template, "
        f"the first token and dropped tokens, more than reliability.sinks = {most:g}: do not rely "
        "on its sources."
    )
