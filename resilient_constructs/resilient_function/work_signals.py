"""When a function that an event source mapping feeds should wake someone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resilient_constructs.monitoring import Metric, Signal

from .health_signals import FULL
from .signals import function_signals

__all__ = ["work_signals"]


def work_signals(
    function: Mapping[str, str], *, timeout: float | None, full: float | None, may_refuse: bool
) -> tuple[Signal, ...]:
    """When the consuming function should wake someone.

    Not its duration: a batch cut off by the timeout is an error, and its panel shows how close the rest came.

    :param function: its CloudWatch dimensions
    :param timeout: its timeout in seconds, if known
    :param full: percent of Lambda's limits from which an environment counts as full; None where the function
        has not our runtime, and so tells nothing of itself
    :param may_refuse: whether a message that began may go back for a circuit or a turn
    """
    wanted = {"Errors", "Throttles", *(() if full is None else ("Unfinished", "ContainerHealth"))}
    timeout = 1 if timeout is None else timeout
    return tuple(
        replace(signal, metric=replace(signal.metric, dimensions=function))
        if isinstance(signal.metric, Metric)
        else signal
        for signal in function_signals(
            function_name=function["FunctionName"],
            timeout_seconds=timeout,
            full=full or FULL,
            may_refuse=may_refuse,
        )
        if signal.name in wanted
    )
