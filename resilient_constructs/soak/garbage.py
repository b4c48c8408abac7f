"""What only waits for the garbage collector, told apart from what nobody will ever free."""

from __future__ import annotations

from itertools import pairwise

from .environment import ExecutionEnvironment
from .judging import use_of
from .orders import Orders, ask
from .prediction import Outlook
from .story import Resource, ResourceName, amount

__all__ = ["acquit_garbage"]

_GENERATION_CALLS = 10
_MOSTLY = 0.5


def acquit_garbage(
    orders: Orders,
    environment: ExecutionEnvironment,
    resources: dict[ResourceName, Resource],
    notes: list[str],
) -> None:
    """What only waits for the garbage collector, and will be taken in time, is no leak.

    Reference cycles keep what they hold until the collector's youngest generation is full, which may be
    longer than was watched. So it is asked how fast that fills, and what a collection frees.
    https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    suspects = [name for name, one in resources.items() if name != "tmp" and one.outlook.leaks]
    if not suspects:
        return
    filled = [ask(environment, "generation")]
    last = environment.invoke(orders.event)
    for _ in range(_GENERATION_CALLS):
        if last.error is not None:
            return
        filled.append(ask(environment, "generation"))
        last = environment.invoke(orders.event)
    collector = ask(environment, "collect")
    after = environment.invoke(orders.event).figures
    per_call = _filling(filled)
    for name in suspects:
        one = resources[name]
        seen = [value for value in one.values if value is not None]
        before, now = use_of(last.figures, name), use_of(after, name)
        if before is None or now is None or before - now < _MOSTLY * (before - seen[0]):
            continue
        if not collector["enabled"]:
            notes.append(
                f"the {name} are held by reference cycles alone, and the handler has switched the garbage "
                "collector off: close what you open, or switch it on"
            )
            continue
        if per_call <= 0:
            continue
        every = collector["threshold"] / per_call
        most = now + one.outlook.per_call * every
        if len(seen) < 2 * every and most < one.limit:
            resources[name] = _acquitted(one)
            notes.append(
                f"{name} are held by reference cycles until the garbage collector comes, about every "
                f"{every:,.0f} invocations; they reach {amount(name, most)} of {amount(name, one.limit)}, "
                "so it does not fail, but close what you open"
            )


def _filling(filled: list[int]) -> float:
    """How many objects an invocation adds to the youngest generation; collections in between are left out."""
    steps = [later - earlier for earlier, later in pairwise(filled) if later > earlier]
    return sorted(steps)[len(steps) // 2] if steps else 0.0


def _acquitted(one: Resource) -> Resource:
    harmless = Outlook(
        leaks=False,
        per_call=one.outlook.per_call,
        fails_at=None,
        interval=None,
        observed=one.outlook.observed,
    )
    return Resource(name=one.name, limit=one.limit, values=one.values, outlook=harmless)
