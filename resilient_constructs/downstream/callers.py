"""All callers of one downstream: their concurrencies add up, and they share its rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import jsii
from aws_cdk import Annotations, Stack
from constructs import Construct, IValidation
from resilient_runtime.pace_plan import PacePlan, plan_pace

from resilient_constructs.lazies import lazy_text, lazy_value

from .limits import SCALING_PAGE

__all__ = ["Caller", "Callers"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who calls a downstream.

    :param max_concurrency: how many calls of it can be under way; None where only CloudFormation knows
    :param is_paced: whether it waits for its turns
    :param timeout: seconds that it may wait and call for; None where that is not known
    """

    construct: Construct
    max_concurrency: int | None
    is_paced: bool
    timeout: float | None


class Callers:
    """What is known of a downstream's callers; complete when the app is synthesized.

    :param name: of the downstream
    :param chosen: how its rate is shared by as many callers as suit it best; None without a rate
    """

    def __init__(self, name: str, chosen: PacePlan | None, *, connections: int | None) -> None:
        self._name = name
        self.chosen = chosen
        self._connections = connections
        self._all: list[Caller] = []
        self._told = 0
        self._token: str | None = None

    def watch(self, downstream: Construct, stack: Stack) -> None:
        """Judge them when the app is whole, and have the plan stand in the stack's template."""
        downstream.node.add_validation(_Judged(self))
        if self.chosen is not None:
            stack.add_metadata(f"resilient:Downstream/{self._name}", lazy_value(self._metadata))

    def add(self, caller: Caller) -> None:
        """Note one more."""
        self._all.append(caller)

    @property
    def total(self) -> int:
        """How many calls those known so far can make at the same time."""
        return sum(caller.max_concurrency or 0 for caller in self._all)

    @property
    def plan(self) -> PacePlan | None:
        """How the rate is shared out among those known so far."""
        chosen, total = self.chosen, max(self.total, self._told)
        if chosen is None or not total:
            return chosen
        return plan_pace(
            requests_per_second=chosen.requests_per_second,
            burst=chosen.burst,
            typical_latency=chosen.typical_latency,
            connections=chosen.connections,
            max_concurrency=total,
        )

    def shared(self, max_concurrency: int) -> int:
        """The sum of all callers' concurrencies, as a token: more of them may come."""
        if self.chosen is None:
            return max_concurrency
        # A caller that was told and never registered must not be told less than its own.
        self._told = max(self._told, max_concurrency)
        if self._token is None:
            self._token = lazy_text(lambda: str(self.told()))
        # The text of a number by the time it is read, see Settings.from_env.
        return cast("int", self._token)

    def told(self) -> int:
        """What the token stands for."""
        return max(self.total, self._told)

    def exceeded(self) -> list[str]:
        """What is wrong with the budget, for synth to print; empty when the connections suffice."""
        if self._connections is None or self.total <= self._connections:
            return []
        callers = ", ".join(
            f"{caller.construct.node.path} ({caller.max_concurrency})"
            for caller in self._all
            if caller.max_concurrency is not None
        )
        return [
            f"Downstream {self._name!r}: its callers' max_concurrency adds up to {self.total}; allowed: at"
            f" most {self._connections} connections. Callers: {callers}. Lower some of these ({SCALING_PAGE})"
        ]

    def warn(self) -> None:
        """Warn each caller of numbers that are legal and do not go together."""
        for caller in self._all:
            for slug, text in self._clashes(caller):
                Annotations.of(caller.construct).add_warning_v2(f"resilient:Downstream/{slug}", text)

    def _clashes(self, caller: Caller) -> Iterator[tuple[str, str]]:
        plan, chosen = self.plan, self.chosen
        if plan is None or chosen is None or not self.total:
            return
        together = f"The callers of {self._name!r} can make {self.total} calls at once, but"
        busy = max(1, math.ceil(round(plan.busy, 6)))
        steps = "; ".join(chosen.steps())
        if not all(each.is_paced for each in self._all):
            if self.total > max(busy, 2):
                yield (
                    "concurrency",
                    f"{together} {busy} keep it busy ({steps}): callers without this package's runtime do "
                    "not wait for their turns, so the rest are refused or wait inside it. Lower "
                    f"max_concurrency, or share the {busy} between its callers.",
                )
        elif self.total > max(plan.wanted, 2):
            yield (
                "concurrency",
                f"{together} {plan.wanted} keep it busy ({steps}): none is refused, but each waits "
                f"{plan.interval:g} s for its turn, and waiting is paid for. Lower max_concurrency, or share "
                f"the {plan.wanted} between its callers.",
            )
        timeout = caller.timeout if caller.is_paced else None
        for clash in plan.clashes(timeout=timeout):
            if clash.slug == "too-few-callers" and (self._is_partly_known() or self._is_at_its_connections()):
                continue
            yield clash.slug, f"Downstream {self._name!r}: {clash.text}."

    def _metadata(self) -> dict[str, int | str]:
        told = {} if self.plan is None else self.plan.metadata()
        return {name: _in_metadata(value) for name, value in told.items() if value is not None}

    def _is_partly_known(self) -> bool:
        return any(caller.max_concurrency is None for caller in self._all)

    def _is_at_its_connections(self) -> bool:
        return self._connections is not None and self.total >= self._connections


@jsii.implements(IValidation)
class _Judged:
    """Adds up the callers once the whole app is known, so the order of declaration does not matter."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def validate(self) -> list[str]:
        self._callers.warn()
        return self._callers.exceeded()


def _in_metadata(value: float | str) -> int | str:
    # A template's metadata may hold whole numbers, but no others, says cfn-lint.
    if isinstance(value, str):
        return value
    return int(value) if value == int(value) else f"{value:g}"
