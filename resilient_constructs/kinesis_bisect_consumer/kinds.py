"""What kind of value each property takes: a slip is told by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_

from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.resilient_function import ContainerHealth, Handler, Idempotency, Redaction
from resilient_constructs.resilient_function.consuming import check_filters
from resilient_constructs.resilient_function.limits import RESERVED_CONCURRENCY

from .limits import KINESIS_PAGE, PARALLELIZATION, RETRY_ATTEMPTS, SHARDS

__all__ = ["check_kinds"]

_DURATIONS = (
    "retention",
    "batching_window",
    "max_record_age",
    "timeout",
    "deadline_margin",
    "alarm_when_older_than",
)
# Those that are computed with before they are checked; what all others may be, their own limits say.
_NUMBERS = (SHARDS, PARALLELIZATION, RETRY_ATTEMPTS, RESERVED_CONCURRENCY)
_FLAGS = ("shard_metrics", "enhanced_fan_out", "per_batch")
_CONSTRUCTS = (
    "function",
    "stream",
    "table",
    "encryption_key",
    "poison_queue",
    "poison_bucket",
    "parked_keys",
)
_PARTS: Mapping[str, type] = {
    "handler": Handler,
    "health": ContainerHealth,
    "redact": Redaction,
    "idempotency": Idempotency,
    "on_call": OnCall,
}


def check_kinds(faults: Faults, given: Mapping[str, object]) -> None:
    """Note values that are not of the kind that their property takes; None is what was not given.

    :param given: all arguments of the construct, by name
    """
    for prop in _DURATIONS:
        if given[prop] is not None and not isinstance(given[prop], Duration):
            faults.add(prop, given[prop], "a Duration, such as Duration.minutes(5)", KINESIS_PAGE)
    for limit in _NUMBERS:
        number = given[limit.prop]
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            faults.add(limit.prop, number, limit.allowed, limit.page)
    for prop in _FLAGS:
        if not isinstance(given[prop], bool):
            faults.add(prop, given[prop], "True or False", KINESIS_PAGE)
    for prop in _CONSTRUCTS:
        # Interfaces of the CDK cannot be asked for; what is handed in by mistake is a name or an ARN.
        if given[prop] is not None and not hasattr(given[prop], "node"):
            allowed = "the construct itself, made or imported (from_…_arn), not its name or ARN"
            faults.add(prop, given[prop], allowed, KINESIS_PAGE)
    for prop, kind in _PARTS.items():
        if given[prop] is not None and not isinstance(given[prop], kind):
            faults.add(prop, given[prop], f"{kind.__name__}, made with its own arguments", KINESIS_PAGE)
    if given["environment"] is not None and not _is_text(given["environment"]):
        faults.add("environment", given["environment"], "a mapping of names to texts", KINESIS_PAGE)
    _check_downstream(faults, given["downstream"])
    if not isinstance(given["starting_position"], lambda_.StartingPosition | datetime):
        allowed = "StartingPosition.TRIM_HORIZON, StartingPosition.LATEST, or a datetime"
        faults.add("starting_position", given["starting_position"], allowed, KINESIS_PAGE)
    check_filters(faults, given["filters"])


def _is_text(given: object) -> bool:
    return isinstance(given, Mapping) and all(isinstance(text, str) for text in (*given, *given.values()))


def _check_downstream(faults: Faults, given: object) -> None:
    if given is None or isinstance(given, Downstream):
        return
    if not isinstance(given, list | tuple) or not all(isinstance(each, Downstream) for each in given):
        faults.add("downstream", given, "a Downstream, or a list of them", KINESIS_PAGE)
