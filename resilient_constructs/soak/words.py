"""What a soak found, in sentences; the terminal and the report say the same."""

from __future__ import annotations

from .prediction import Outlook
from .story import Culprit, Resource, ResourceName, Story, amount

__all__ = ["NAMES", "culprit_line", "engine_line", "rate", "resource_row", "verdict"]

NAMES = {
    "descriptors": "descriptors",
    "memory": "memory",
    "tmp": "/tmp",  # noqa: S108 (Lambda's, by name)
    "threads": "threads",
}
_MB = 1 << 20
_KB = 1 << 10

_FEW = 100
"""Below this, a descriptor that leaks in one of ten invocations, or a little memory, stays unseen."""


def verdict(story: Story) -> tuple[str, str]:
    """The headline, and what there is to say about it."""
    made = f"{len(story.observations):,} invocations"
    if story.leak is not None and story.predicted is not None:
        resource = story.resources[story.leak]
        leaks = f"each invocation leaves {rate(story.leak, resource.outlook.per_call)} behind"
        if story.failed_at is None:
            return (
                f"{NAMES[story.leak]} will run out at invocation {story.predicted.fails_at:,}",
                f"{leaks}; {_range(story.predicted)}, seen in {made}",
            )
        return (
            f"{NAMES[story.leak]} ran out at invocation {story.failed_at:,}",
            f"{leaks}; after {story.predicted.observed:,} of them the forecast was "
            f"{story.predicted.fails_at:,} ({_range(story.predicted)})",
        )
    if story.failed_at is not None and story.error is not None:
        return (
            f"failed at invocation {story.failed_at:,}",
            f"{story.error.type}: {story.error.message}; {_no_leak_before(story.failed_at)}",
        )
    if story.recycles:
        return (
            "no failure",
            f"{made}; the runtime was recycled {story.recycles:,} times, unseen by any caller",
        )
    few = "; so few show only what leaks nearly every time" if len(story.observations) < _FEW else ""
    return "no leak", f"{made}, and nothing keeps growing{few}"


def _no_leak_before(failure: int) -> str:
    return "too early to say what leaks" if failure < _FEW else "nothing that was measured leaks"


def resource_row(resource: Resource) -> tuple[str, str, str, str, str, str]:
    """One resource: name, use after the first and the last invocation, most, limit, per invocation."""
    outlook = resource.outlook
    seen = [value for value in resource.values if value is not None]
    if not seen:
        limit = amount(resource.name, resource.limit)
        return NAMES[resource.name], "–", "–", "–", limit, "not seen"
    return (
        NAMES[resource.name],
        amount(resource.name, seen[0]),
        amount(resource.name, seen[-1]),
        amount(resource.name, max(seen)),
        amount(resource.name, resource.limit),
        f"+{_number(resource.name, outlook.per_call)}" if outlook.leaks else "does not grow",
    )


def culprit_line(culprit: Culprit) -> str:
    """One culprit: how many, how much, what, and whose line."""
    where = f", from {culprit.where}" if culprit.where else ", from a line that could not be seen"
    size = f" ({_number('memory', culprit.size)})" if culprit.size else ""
    return f"{culprit.count:,} × {culprit.what}{size}{where}"


def engine_line(story: Story) -> str:
    """What ran it, and how near to Lambda that is."""
    engine = "AWS's runtime emulator" if story.engine == "rie" else "a plain subprocess, not AWS's emulator"
    tmp = "" if story.has_own_tmp else "; /tmp is watched, not limited, as no namespace could be made"
    limits = (
        f"{story.limits['descriptors']:,.0f} descriptors, {story.limits['memory'] / _MB:,.0f} MB of memory, "
        f"{story.limits['tmp'] / _MB:,.0f} MB of /tmp"
    )
    return f"{engine}; {limits}{tmp}"


def _range(outlook: Outlook) -> str:
    if outlook.interval is None:
        return "no interval"
    low, high = outlook.interval
    return f"95 %: {low:,} to {high:,}" if low != high else f"95 %: {low:,} exactly"


def rate(name: ResourceName, value: float) -> str:
    """Growth with its unit."""
    number = _number(name, value)
    if name in ("memory", "tmp"):
        return number
    return f"{number} {name.removesuffix('s') if number == '1' else name}"


def _number(name: ResourceName, value: float) -> str:
    if name not in ("memory", "tmp"):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value / _MB:,.2f} MB" if value >= _MB / 10 else f"{value / _KB:,.1f} KB"
