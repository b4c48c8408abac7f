"""What a function tells of its configuration and of the messages that it remembers, where it has either."""

from __future__ import annotations

from resilient_constructs.monitoring.signal import Metric, Panel, Severity, Signal

from .runtime_metric import runtime_metric

__all__ = ["settings_panels", "settings_signals"]

# An environment tells of an outage once, so one in five minutes is all there may be.
_PERIOD = 300


def settings_signals(function_name: str, *, configured: bool, remembers: bool) -> tuple[Signal, ...]:
    """What nobody else would notice, because no invocation fails of it.

    :param configured: whether the function reads parameters or secrets
    :param remembers: whether it remembers which messages are done
    """
    signals = []
    if configured:
        signals.append(
            Signal(
                name="ConfigurationFailed",
                title="Parameters or secrets cannot be refreshed",
                because="Environments go on with the values that they have, so nothing fails yet, but a "
                "rotated secret is not seen, and a new environment may start without one. The STALE and "
                "UNCONFIGURED records name each value and what AWS answered.",
                metric=_counted(function_name, "ConfigurationFailed"),
                threshold=1,
                severity=Severity.TICKET,
            )
        )
    if remembers:
        signals.append(
            Signal(
                name="NotRemembered",
                title="Messages that are done could not be noted as done",
                because="If one of them comes again, it is handled again. The NOT_REMEMBERED records say "
                "what DynamoDB answered: throttling, a missing permission, or a table that is gone.",
                metric=_counted(function_name, "NotRemembered"),
                threshold=1,
                severity=Severity.TICKET,
            )
        )
    return tuple(signals)


def settings_panels(function_name: str, *, configured: bool, remembers: bool) -> tuple[Panel, ...]:
    """One graph of both, where there is either."""
    shown = []
    if configured:
        shown.append(_counted(function_name, "ConfigurationFailed", "configuration not refreshed"))
    if remembers:
        shown.append(_counted(function_name, "Repeated", "came again, and was not done again"))
        shown.append(_counted(function_name, "NotRemembered", "done, and not remembered"))
    return (Panel(title="Configuration and repeated messages", left=tuple(shown)),) if shown else ()


def _counted(function_name: str, name: str, label: str | None = None) -> Metric:
    return runtime_metric(function_name, name, period=_PERIOD, label=label)
