"""What cannot be said of a function as a range of numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from resilient_runtime.settings import DownstreamSettings, Mode, StreamSettings

from resilient_constructs.limits import Faults

from .limits import (
    ASYNC_PAGE,
    CONCURRENCY_PAGE,
    ENVIRONMENT_SIZE,
    KINESIS_PAGE,
    OLDEST_PYTHON_MINOR,
    RESERVED_VARIABLES,
    RUNTIMES_PAGE,
    SQS_PAGE,
    VARIABLES_PAGE,
)

if TYPE_CHECKING:
    from aws_cdk import aws_sqs as sqs

__all__ = [
    "check_asynchronous",
    "check_circuits",
    "check_environment",
    "check_messages_only",
    "check_mode",
    "check_runtime",
]

_OURS = "RESILIENT_"

# https://docs.aws.amazon.com/lambda/latest/api/API_Environment.html
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")

# Of a JSON with one token in it, the rest still counts.
_TOKEN = re.compile(r"\$\{Token\[[^\]]*\]\}")


def check_runtime(faults: Faults, runtime: str) -> None:
    """Note a runtime that is no Python, or one older than our own code."""
    minor = runtime.removeprefix("python3.")
    if not (minor.isdigit() and int(minor) >= OLDEST_PYTHON_MINOR):
        faults.add("runtime", runtime, f"python3.{OLDEST_PYTHON_MINOR} or later", RUNTIMES_PAGE)


def check_mode(
    faults: Faults,
    mode: Mode,
    dead_letter_queue: sqs.IQueue | None,
    stream: StreamSettings | None,
    *,
    asynchronous: bool,
) -> None:
    """Note an unknown mode, and messages or records that would have nowhere to go when they are rejected."""
    if mode not in ("event", "messages", "records"):
        faults.add("mode", mode, "'event', 'messages' or 'records'", SQS_PAGE)
    elif mode == "messages" and dead_letter_queue is None:
        faults.add("dead_letter_queue", None, "a queue for rejected messages in mode 'messages'", SQS_PAGE)
    elif mode == "event" and dead_letter_queue is not None:
        allowed = "None in mode 'event', which rejects nothing; asynchronous=True has a queue of its own"
        faults.add("dead_letter_queue", "a queue", allowed, ASYNC_PAGE)
    elif mode == "records" and dead_letter_queue is not None:
        allowed = "None in mode 'records', whose poison store is in stream"
        faults.add("dead_letter_queue", "a queue", allowed, KINESIS_PAGE)
    if (mode == "records") != (stream is not None):
        allowed = "where poison is kept, in mode 'records' and only there"
        faults.add("stream", None if stream is None else "given", allowed, KINESIS_PAGE)
    if mode != "event" and asynchronous:
        faults.add("asynchronous", True, f"False in mode {mode!r}, where Lambda polls", SQS_PAGE)


def check_circuits(faults: Faults, downstreams: Sequence[DownstreamSettings], *, has_circuits: bool) -> None:
    """Note breakers whose circuits would be shared nowhere."""
    guarded = [each.name for each in downstreams if each.breaker is not None]
    if guarded and not has_circuits:
        allowed = f"the circuits of the downstreams with a breaker ({', '.join(guarded)})"
        faults.add("circuits", None, allowed, CONCURRENCY_PAGE)


def check_messages_only(faults: Faults, mode: Mode, settings: Mapping[str, object]) -> None:
    """Note what would be ignored in silence where no queue's messages come one by one."""
    for prop, value in settings.items():
        if mode == "event" and value is not None:
            faults.add(prop, "given", "None in mode 'event', which knows no messages", SQS_PAGE)


def check_asynchronous(faults: Faults, **given: object) -> None:
    """Note what was set for asynchronous events where there are none: it would do nothing."""
    for prop, value in given.items():
        if value is not None:
            faults.add(prop, value, "None unless asynchronous=True", ASYNC_PAGE)


def check_environment(faults: Faults, given: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Note names that are ours, Lambda's or none, and more than Lambda can hold; a token counts as empty."""
    for key in given:
        if key.startswith(_OURS):
            faults.add("environment", key, f"names that do not start with {_OURS}", VARIABLES_PAGE)
        elif key in RESERVED_VARIABLES:
            faults.add("environment", key, "names that Lambda does not set itself", VARIABLES_PAGE)
        elif not _VARIABLE.fullmatch(key):
            faults.add("environment", key, "a letter, then letters, digits and _", VARIABLES_PAGE)
    variables = {**given, **settings}
    size = sum(len(key.encode()) + len(_TOKEN.sub("", text).encode()) for key, text in variables.items())
    faults.check(ENVIRONMENT_SIZE, size)
