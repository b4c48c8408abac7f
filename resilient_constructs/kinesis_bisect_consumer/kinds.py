"""What kind of value each property takes: a slip is told by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_

from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults, Limit

from .limits import KINESIS_PAGE

__all__ = ["check_kinds"]


def check_kinds(
    faults: Faults,
    *,
    durations: Mapping[str, object],
    numbers: Mapping[Limit, object],
    flags: Mapping[str, object],
    constructs: Mapping[str, object],
    parts: Mapping[type, tuple[str, object]],
    downstream: object,
    starting_position: object,
) -> None:
    """Note values that are not of the kind that their property takes; None is what was not given.

    :param constructs: resources of the CDK, made or imported
    :param parts: what is a class of this package, with property and value
    """
    for prop, value in durations.items():
        if value is not None and not isinstance(value, Duration):
            faults.add(prop, value, "a Duration, such as Duration.minutes(5)", KINESIS_PAGE)
    for limit, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            faults.add(limit.prop, value, limit.allowed, limit.page)
    for prop, value in flags.items():
        if not isinstance(value, bool):
            faults.add(prop, value, "True or False", KINESIS_PAGE)
    for prop, value in constructs.items():
        # Interfaces of the CDK cannot be asked for; what is handed in by mistake is a name or an ARN.
        if value is not None and not hasattr(value, "node"):
            allowed = "the construct itself, made or imported (from_…_arn), not its name or ARN"
            faults.add(prop, value, allowed, KINESIS_PAGE)
    for kind, (prop, value) in parts.items():
        if value is not None and not isinstance(value, kind):
            faults.add(prop, value, f"{kind.__name__}, made with its own arguments", KINESIS_PAGE)
    _check_downstream(faults, downstream)
    if not isinstance(starting_position, lambda_.StartingPosition | datetime):
        allowed = "StartingPosition.TRIM_HORIZON, StartingPosition.LATEST, or a datetime"
        faults.add("starting_position", starting_position, allowed, KINESIS_PAGE)


def _check_downstream(faults: Faults, given: object) -> None:
    if given is None or isinstance(given, Downstream):
        return
    if not isinstance(given, list | tuple) or not all(isinstance(each, Downstream) for each in given):
        faults.add("downstream", given, "a Downstream, or a list of them", KINESIS_PAGE)
