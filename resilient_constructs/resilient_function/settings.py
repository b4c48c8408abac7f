"""What the runtime of a function is told, checked before anything is made."""

from __future__ import annotations

from collections.abc import Sequence

from resilient_runtime.settings import Mode

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .configuration import Parameter, Secret, check_configuration
from .health import ContainerHealth
from .idempotency import Idempotency
from .limits import DEADLINE_MARGIN, SQS_PAGE
from .redaction import Redaction

__all__ = ["check_settings", "is_repeated"]


def check_settings(
    faults: Faults,
    *,
    mode: Mode,
    timeout: float,
    deadline_margin: float | None,
    health: ContainerHealth | None,
    redact: Redaction | None,
    configuration: Sequence[Parameter | Secret],
    idempotency: Idempotency | None,
    visibility_timeout: float | None = None,
) -> None:
    """Note everything that is wrong with what the runtime shall do.

    :param timeout: the function's, in seconds, or a token
    :param deadline_margin: seconds before it, or None where none was said
    :param visibility_timeout: that of the queue which feeds the function, in seconds, where it is known
    """
    _check_deadline(faults, deadline_margin, timeout)
    if health is not None:
        health.check(faults)
    if redact is not None:
        redact.check(faults)
    check_configuration(faults, configuration)
    if idempotency is not None:
        idempotency.check(faults, visibility_timeout=visibility_timeout)
        if mode == "event":
            allowed = "None in mode 'event': an event has no key that stays the same when it comes again"
            faults.add("idempotency", "given", allowed, SQS_PAGE)


def is_repeated(mode: Mode, *, asynchronous: bool, retry_attempts: float | None) -> bool:
    """Whether the source repeats an invocation that ends without an answer.

    Retries that only CloudFormation knows may be none, and an environment that exits would lose the event.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
    """
    if mode != "event":
        return True
    return asynchronous and not (retry_attempts == 0 or is_token(retry_attempts))


def _check_deadline(faults: Faults, margin: float | None, timeout: float) -> None:
    if margin is None:
        return
    if is_token(margin):
        # it goes into the environment as a number written out, and a number token would be nonsense there
        faults.add("deadline_margin", "a token", "a duration known at synth", DEADLINE_MARGIN.page)
        return
    faults.check(DEADLINE_MARGIN, margin)
    if not is_token(timeout) and margin >= timeout:
        allowed = f"less than the timeout of {timeout:g} seconds; 0 never interrupts the handler"
        faults.add("deadline_margin", margin, allowed, DEADLINE_MARGIN.page)
