"""A workflow's work on its way: the message that brings it, the envelope around it, its execution's name.

An execution's input is the work's own input, or an envelope around it, which has exactly these two members::

    {"resilient": {"name": "order-7", "key": "order-7", "parked": 2, "claim": {...}}, "input": ...}

It comes back out of the queue of parked works like that. ``key`` is the name that the work had first: an
execution that does it once more has another name and the same key, so that whoever is called knows it for the
same work. Everything here is pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .call import Call
from .reject import Reject

__all__ = [
    "LARGEST_INPUT",
    "LONGEST_NAME",
    "Work",
    "as_text",
    "begun_anew",
    "envelope_of",
    "execution_name",
    "is_too_large",
    "work_of",
    "wrapped",
]

LARGEST_INPUT = 262_144
"""Bytes of UTF-8 that an execution's input may have, and every state's input and result.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

LONGEST_NAME = 80
"""https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""

# The machine sends the input on with an envelope, or with what failed, around it; all of that is a state's
# input too. A work that would just fit could then neither be parked nor be dead-lettered.
_ROOM = 32_768

# What CloudWatch takes; Step Functions itself allows more.
_NAME = re.compile(r"[0-9A-Za-z_-]{1,80}").fullmatch
_OTHER = re.compile(r"[^0-9A-Za-z_-]")
_READABLE = 39

_ENDED = "Step Functions Execution Status Change"
"""https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
_LETTER = frozenset({"input", "error", "cause", "execution"})
_AGAIN = "-again"


class Work(NamedTuple):
    """One work that is to be started.

    :param name: its execution's name, the same whenever the same message is delivered again
    :param input: what it is about; None where that is claimed
    :param about: what the envelope says of it; empty where it needs no envelope
    """

    name: str
    input: Any
    about: Mapping[str, Any]


def work_of(body: Any, call: Call, *, machine: str | None = None) -> Work:
    """What a message asks to be started: a new work, one that was parked, or one that was given up.

    The name of a new one is the message's idempotency key. A parked one has its own name and the number of
    its resumption, for Step Functions lets no two executions of a state machine have the same. An event that
    is replayed from an archive, and a dead letter that somebody moved back into the queue, are meant to run
    once more and get names of their own.

    A dead letter's is that of what failed, and not its message's: Step Functions may have sent the same one
    twice, and both are one work.

    :param machine: the state machine's ARN. The event of the end of an execution of it, moved back into the
        queue, is a dead letter too: that of a work which ended without giving itself up
    :raises Reject: when such an event has not the input
    """
    # The body is only the event's detail, which does not say what it is.
    ended = _ended_of(call.event, machine)
    if ended is not None:
        return _once_more(ended)
    envelope = envelope_of(body)
    if envelope is not None:
        return _unpacked(envelope, body["input"], call)
    given_up = _letter_of(body)
    if given_up is not None:
        return _sent_back(body, given_up)
    replay = call.event.get("replay-name") if call.event is not None else None
    key = call.idempotency_key if replay is None else f"{call.idempotency_key}-{replay}"
    return Work(execution_name(key), body, {})


def wrapped(work: Work) -> Any:
    """The execution's input: the work's, with an envelope around it where one is needed.

    One that could be taken for an envelope gets one, whoever made it up.
    """
    if work.about or (type(work.input) is dict and "resilient" in work.input):
        return {"resilient": dict(work.about), "input": work.input}
    return work.input


def as_text(value: Any) -> str:
    """A value as JSON, as short as it can be.

    :raises ValueError: when it cannot be written: ``NaN`` is none of JSON's, though Python reads it
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can escape and UTF-8 cannot hold.
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text


def is_too_large(text: str) -> bool:
    """Whether a text is larger than an execution's input may be, with room for what is put around it."""
    most = LARGEST_INPUT - _ROOM
    # A character has four bytes at most: most texts need not be encoded to know.
    return len(text) * 4 > most and len(text.encode()) > most


def envelope_of(value: object) -> Mapping[str, Any] | None:
    """What an envelope says of the work in it; None where ``value`` is no envelope."""
    if type(value) is dict and len(value) == 2 and "input" in value:
        about = value.get("resilient")
        return about if type(about) is dict else None
    return None


def begun_anew(name: str, given: Any) -> Work:
    """A work whose execution failed, from its beginning: what it was given, without what it had spent of it.

    Its attempts, its clock and its name are those of a new work. Its key stays, and so does what it is about:
    a claim to its input, or its place in a batch.

    :param name: of the execution that failed
    :param given: that one's input
    """
    about = envelope_of(given)
    if about is None:
        return Work(execution_name(name + _AGAIN), given, {"key": name})
    return Work(execution_name(name + _AGAIN), given["input"], _kept(about, name))


def execution_name(wanted: str) -> str:
    """A valid name of an execution, different for every two texts, readable where that is possible."""
    if _NAME(wanted) is not None:
        return wanted
    from hashlib import sha256

    digest = sha256(wanted.encode("utf-8", "surrogatepass")).hexdigest()
    readable = _OTHER.sub("-", wanted[:_READABLE])
    return f"{readable}-{digest[: LONGEST_NAME - _READABLE - 1]}"


def _unpacked(about: Mapping[str, Any], given: Any, call: Call) -> Work:
    base, parked = about.get("name"), about.get("parked")
    if type(base) is not str or not base:
        return Work(execution_name(call.idempotency_key), given, about)
    if "key" not in about and execution_name(base) != base:
        # A schedule's has colons, which are not for everybody who is told the key.
        about = {**about, "key": execution_name(base)}
    if type(parked) is not int or parked < 1:
        return Work(execution_name(base), given, about)
    return Work(execution_name(f"{base}-p{parked}"), given, about)


def _kept(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    kept = {member: about[member] for member in ("claim", "item") if about.get(member) is not None}
    for known in (about.get("key"), about.get("name")):
        if type(known) is str and known:
            return {"key": known, **kept}
    return {"key": name, **kept}


def _sent_back(letter: Mapping[str, Any], given_up: str) -> Work:
    # All items of an inline batch fail in the one execution that they have in common.
    index = letter.get("index")
    wanted = f"{given_up}{_AGAIN}-{index}" if type(index) is int else given_up + _AGAIN
    about = letter.get("resilient")
    kept = _kept(about if type(about) is dict else {}, given_up)
    return Work(execution_name(wanted), letter["input"], kept)


def _letter_of(body: object) -> str | None:
    """The name of the execution that gave up, where the body is what it left in the dead-letter queue."""
    if type(body) is not dict or not body.keys() >= _LETTER:
        return None
    arn = body["execution"]
    parts = arn.split(":") if type(arn) is str else []
    # arn:aws:states:region:account:execution:machine:name; an express one's ends with an id of its own.
    if len(parts) < 8 or parts[2] != "states" or parts[5] not in ("execution", "express"):
        return None
    return str(parts[7])


def _ended_of(event: Mapping[str, Any] | None, machine: str | None) -> Mapping[str, Any] | None:
    """What an event says of the end of one of the machine's executions; None where it is another message."""
    if event is None or event.get("source") != "aws.states" or event.get("detail-type") != _ENDED:
        return None
    detail = event.get("detail")
    # A workflow may well be fed with the ends of others.
    if type(detail) is not dict or machine is None or detail.get("stateMachineArn") != machine:
        return None
    return detail


def _once_more(ended: Mapping[str, Any]) -> Work:
    text = ended.get("input")
    if type(text) is not str:
        # EventBridge leaves out what makes the event too large.
        raise Reject(
            "the event of this execution's end has not its input: run"
            f" `resilient redrive {ended.get('executionArn')}` instead, and delete the message"
        )
    return begun_anew(str(ended.get("name")), json.loads(text))
