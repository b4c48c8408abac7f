"""The function that an event source mapping feeds, made from a handler or given: what must be known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Tokenization
from aws_cdk import aws_lambda as lambda_

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token, seconds

from .limits import TIMEOUT

__all__ = [
    "Consuming",
    "check_filters",
    "check_source",
    "check_unused",
    "expected",
    "expression_number",
    "filter_criteria",
    "read_function",
]

# What Lambda takes when a function's timeout is not set.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_TIMEOUT_UNSET = 3
_FILTERING_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Consuming:
    """What a consumer must know of the function that it feeds.

    :param timeout: seconds, a token, or None when it cannot be read (an imported function)
    :param reserved_concurrency: None when there is none, or it cannot be read
    :param dimensions: what CloudWatch knows it by; for an alias, the alias
    """

    timeout: float | None
    reserved_concurrency: float | None
    dimensions: Mapping[str, str]


def expected(timeout: Duration | None, reserved_concurrency: float | None) -> Consuming:
    """What is known of a function that is still to be made from a handler."""
    return Consuming(
        timeout=seconds(timeout, default=TIMEOUT.default or 0),
        reserved_concurrency=reserved_concurrency,
        dimensions={},
    )


def read_function(function: lambda_.IFunction) -> Consuming:
    """Read what can be read of a given function; of an alias or a version, of the function behind it."""
    behind = _behind(function)
    name = behind.function_name
    dimensions = {"FunctionName": name}
    if isinstance(function, lambda_.Alias):
        dimensions["Resource"] = f"{name}:{function.alias_name}"
    elif isinstance(function, lambda_.Version):
        dimensions["Resource"] = f"{name}:{function.version}"
    if not isinstance(behind, lambda_.Function):
        return Consuming(timeout=None, reserved_concurrency=None, dimensions=dimensions)
    timeout = behind.timeout
    resource = behind.node.default_child
    reserved = resource.reserved_concurrent_executions if isinstance(resource, lambda_.CfnFunction) else None
    return Consuming(
        timeout=_TIMEOUT_UNSET if timeout is None else timeout.to_seconds(),
        reserved_concurrency=reserved,
        dimensions=dimensions,
    )


def check_source(
    faults: Faults, *, handler: object, function: object, only_handlers: Mapping[str, object], page: str
) -> None:
    """Note when there is no code to call, or two, or settings that a given function would not get.

    :param page: the AWS page on what feeds the function
    """
    if (handler is None) == (function is None):
        both = "both" if handler is not None else "neither"
        faults.add("handler, function", both, "exactly one of the two", page)
    elif function is not None:
        check_unused(faults, only_handlers, "set it on the given function itself", page)


def check_unused(faults: Faults, settings: Mapping[str, object], remedy: str, page: str) -> None:
    """Note every setting that was given and would be ignored in silence."""
    for prop, value in settings.items():
        if value is not None:
            faults.add(prop, value if isinstance(value, int | float | str) else "given", remedy, page)


def check_filters(faults: Faults, filters: object) -> None:
    """Note what is no list of patterns, and patterns that cannot be written as JSON."""
    if not isinstance(filters, list | tuple):
        faults.add("filters", filters, "a list of patterns, each a mapping", _FILTERING_PAGE)
        return
    for pattern in filters:
        if not isinstance(pattern, Mapping) or not _is_json(pattern):
            allowed = "patterns that are mappings of text, numbers, lists and mappings, as in JSON"
            faults.add("filters", pattern, allowed, _FILTERING_PAGE)


def _is_json(pattern: Mapping[object, object]) -> bool:
    try:
        json.dumps(pattern)
    except (TypeError, ValueError):
        return False
    return True


def filter_criteria(filters: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Event patterns as the event source mapping wants them: as JSON text.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    if not filters:
        return None
    return {"filters": [{"pattern": json.dumps(pattern)} for pattern in filters]}


def expression_number(value: float) -> str:
    """The number as it is written in a metric-math expression; a number token as a string token."""
    if is_token(value):
        return Tokenization.stringify_number(value)
    return f"{value:g}"


def _behind(function: lambda_.IFunction) -> lambda_.IFunction:
    if isinstance(function, lambda_.Alias):
        return function.version.lambda_
    if isinstance(function, lambda_.Version):
        return function.lambda_
    return function
