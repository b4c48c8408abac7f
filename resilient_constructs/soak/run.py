"""The soak itself: invoke the handler until it fails or has been invoked enough, then say what was seen.

A leak is explained in a second, shorter run: watching who opens and allocates what costs time and memory, and
would change what the first run is there to measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .environment import ExecutionEnvironment
from .explaining import explain
from .garbage import acquit_garbage
from .judging import PROCESSES_AND_THREADS, first_to_run_out, judge_all, longest_life, use_of
from .orders import Orders
from .prediction import Outlook
from .replies import InvocationError, Reply
from .story import Culprit, Observation, Progress, Resource, ResourceName, Story
from .words import NAMES, rate

__all__ = ["soak"]

_AROUND = "resilient_soak_inside"
_NOT_THE_HANDLERS = (_AROUND, "<frozen importlib", "importlib/__init__.py")


def soak(orders: Orders, watch: Callable[[Progress], None] = lambda _: None) -> Story:
    """Run it.

    :param watch: is told of every invocation
    :raises SoakError: when no environment can be started, or the emulator gives up
    """
    started = time.monotonic()
    limits = orders.limits
    notes: list[str] = []
    with orders.environment() as environment:
        observations, error = _invoke(orders, environment, watch)
        resources = judge_all(observations, limits)
        if error is None:
            acquit_garbage(orders, environment, resources, notes)
        engine, has_own_tmp = environment.engine, environment.has_own_tmp
        restarts, recycles = environment.restarts, environment.recycles
    if recycles:
        notes += _cured(observations, limits)
    leak = first_to_run_out(resources)
    culprits: list[Culprit] = []
    explained_in = 0
    if leak is not None:
        explained_in, culprits, transients = explain(orders, leak, watch, notes)
        judged = judge_all(observations, limits, transients=transients)
        # What was acquitted stays acquitted.
        resources |= {name: one for name, one in judged.items() if resources[name].outlook.leaks}
        leak = first_to_run_out(resources)
    return Story(
        handler=orders.named or orders.handler,
        engine=engine,
        has_own_tmp=has_own_tmp,
        wanted=orders.invocations,
        limits=limits,
        observations=observations,
        resources=resources,
        leak=leak.name if leak else None,
        predicted=_foretold(observations, limits, leak, failed=error is not None),
        failed_at=len(observations) if error is not None else None,
        error=error,
        culprits=culprits,
        explained_in=explained_in,
        restarts=restarts,
        recycles=recycles,
        notes=notes,
        seconds=time.monotonic() - started,
    )


def _invoke(
    orders: Orders, environment: ExecutionEnvironment, watch: Callable[[Progress], None]
) -> tuple[list[Observation], InvocationError | None]:
    observations: list[Observation] = []
    for number in range(1, orders.invocations + 1):
        reply = environment.invoke(orders.event)
        observation = Observation(figures=reply.figures, seconds=reply.seconds)
        observations.append(observation)
        error = _error_of(orders, reply, environment.records)
        if error is not None:
            return observations, error
        watch(Progress(phase="soaking", done=number, wanted=orders.invocations, last=observation))
    return observations, None


def _cured(observations: list[Observation], limits: Mapping[ResourceName, float]) -> list[str]:
    """What leaks although nobody notices: a cure is no excuse to leave it."""
    stretch = longest_life(observations)
    return [
        f"{NAMES[name]}: between recycles, each invocation leaves {rate(name, one.outlook.per_call)} behind; "
        "without --wrapped you see from which line"
        for name, one in judge_all(stretch, limits).items()
        if one.outlook.leaks
    ]


def _error_of(
    orders: Orders, reply: Reply, records: Callable[[], list[dict[str, Any]]]
) -> InvocationError | None:
    if reply.error is not None:
        # What runs around the handler helps nobody, neither its frames nor its name.
        stack = tuple(one for one in reply.error.stack if not any(name in one for name in _NOT_THE_HANDLERS))
        message = reply.error.message.replace(_AROUND, orders.handler.rpartition(".")[0])
        return replace(reply.error, message=message, stack=stack)
    if orders.messages and isinstance(reply.value, dict) and reply.value.get("batchItemFailures"):
        return _returned(records())
    tasks = use_of(reply.figures, "threads")
    if tasks is not None and tasks > PROCESSES_AND_THREADS:
        # Nothing here stops it: the kernel's limit is per user, and would count this whole machine.
        return InvocationError(
            type="RuntimeError", message=f"{tasks:,} processes and threads; Lambda allows 1,024"
        )
    return None


def _returned(records: list[dict[str, Any]]) -> InvocationError:
    """Why a message went back: its last record says so."""
    went_back = "the message went back to its queue"
    last = next((one for one in reversed(records) if one.get("status") in ("FAILED", "HELD")), None)
    if last is None:
        return InvocationError(type="batchItemFailures", message=went_back)
    if "reason" in last:
        # Rejected, or not begun. That a rejected message cannot be stored here is not the handler's.
        kind = "Reject" if last["status"] == "FAILED" else "HELD"
        return InvocationError(type=kind, message=f"{last['reason']}; {went_back}")
    kind, _, message = str(last["error"]).partition(": ")
    stack = str(last.get("stack", "")).splitlines(keepends=True)
    return InvocationError(type=kind, message=f"{message}; {went_back}", stack=tuple(stack[1:-1]))


def _foretold(
    observations: list[Observation],
    limits: Mapping[ResourceName, float],
    leak: Resource | None,
    *,
    failed: bool,
) -> Outlook | None:
    """The prediction to be told: where a failure was seen, the one that a tenth of the way allowed."""
    if leak is None:
        return None
    if failed:
        early = judge_all(observations[: len(observations) // 10], limits)[leak.name].outlook
        if early.leaks:
            return early
        return judge_all(observations[:-1], limits)[leak.name].outlook
    return leak.outlook
