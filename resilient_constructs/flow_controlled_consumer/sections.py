"""What the dashboard shows of a consumer."""

from __future__ import annotations

from resilient_constructs.monitoring import Lane, LogGroup, Panel, Section
from resilient_constructs.resilient_function.health_signals import FULL
from resilient_constructs.resilient_function.signals import function_panels

from .emitted import Emitted

__all__ = ["consumer_section", "lane_section"]


def consumer_section(
    title: str,
    emitted: Emitted,
    *,
    max_concurrency: float | None,
    timeout: float | None,
    log_group: str | LogGroup | None,
    full: float | None,
) -> Section:
    """What the dashboard shows of a consumer: what waits, what runs, what fails.

    :param max_concurrency: drawn as a line; None when only CloudFormation knows it
    :param timeout: the function's timeout in seconds, if known
    :param log_group: the log group of a function with our runtime, for the saved queries
    :param full: percent of Lambda's limits from which one of its environments counts as full
    """
    panels = [_backlog(emitted)]
    if emitted.dead_letter_queue_name is not None:
        panels.append(Panel(title="Dead letters", left=tuple(emitted.dead_letters.values()), threshold=1))
    if log_group is None:
        panels.extend(_panels_from_outside(emitted, max_concurrency))
    else:
        panels.extend(
            function_panels(
                function_name=emitted.function["FunctionName"],
                timeout_seconds=timeout or 0,
                concurrency_limit=max_concurrency,
                full=full or FULL,
            )
        )
    return Section(
        title=title,
        lane=Lane.WORK,
        panels=tuple(panels),
        log_groups=() if log_group is None else (log_group,),
    )


def lane_section(title: str, emitted: Emitted) -> Section:
    """What the dashboard shows of the urgent lane: its own queue, and what became of its messages."""
    return Section(title=title, lane=Lane.WORK, panels=(_backlog(emitted), _messages(emitted)))


def _backlog(emitted: Emitted) -> Panel:
    return Panel(
        title="Backlog",
        left=(emitted.waiting, emitted.in_flight),
        right=(emitted.oldest_message_age,),
    )


def _messages(emitted: Emitted) -> Panel:
    return Panel(
        title="Messages",
        left=(
            emitted.mapping("InvokedEventCount", "begun"),
            emitted.mapping("DeletedEventCount", "done"),
            emitted.mapping("FailedInvokeEventCount", "returned to the queue"),
        ),
    )


def _panels_from_outside(emitted: Emitted, max_concurrency: float | None) -> tuple[Panel, ...]:
    """What Lambda knows of a function that does not count."""
    return (
        Panel(title="Running at once", left=(emitted.concurrency,), threshold=max_concurrency),
        _messages(emitted),
    )
