"""Asks the deployed system what it has: status records from the logs, messages left in every queue.

Works from any stack that works off queues: what an event source mapping reads is a work queue, every other
queue of the stack is a dead-letter queue. A circuit controller's queues hold no orders and are left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .circuits import Guard, guard_of
from .records import records_of

__all__ = ["Depths", "System", "completed_records", "correlation_id_of", "depths", "discover", "peek"]

Client = Callable[[str], Any]
"""Makes a boto3 client of a service: ``LocalAws.client``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """The parts of a deployed stack that hold messages or tell about them.

    :param work_queues: URL of each queue that a function works off, by logical ID
    :param dead_letter_queues: URL of each other queue, by logical ID
    :param log_groups: names of the log groups of the functions that work off queues
    :param mappings: UUIDs of the event source mappings of the work queues
    :param guard: the circuit controller; None in a stack without a breaker
    """

    work_queues: Mapping[str, str]
    dead_letter_queues: Mapping[str, str]
    log_groups: tuple[str, ...]
    mappings: tuple[str, ...]
    guard: Guard | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Depths:
    """How many messages are where at one moment.

    :param at: seconds since the epoch
    :param visible: in work queues, to be received
    :param in_flight: in work queues, received and not deleted: being worked on, or waiting to come back
    :param dead: in dead-letter queues
    """

    at: float
    visible: int
    in_flight: int
    dead: int

    @property
    def waiting(self) -> int:
        """Everything that is not yet done with."""
        return self.visible + self.in_flight


def discover(client: Client, stack: str) -> System:
    """Find the parts of a deployed stack.

    :raises LookupError: when the stack has no queue that a function works off
    """
    resources = list(_resources(client("cloudformation"), stack))
    queues = {logical: physical for kind, logical, physical in resources if kind == "AWS::SQS::Queue"}
    uuids = [physical for kind, _, physical in resources if kind == "AWS::Lambda::EventSourceMapping"]
    sqs, functions = client("sqs"), client("lambda")
    by_arn = {_arn(sqs, url): logical for logical, url in queues.items()}
    worked: dict[str, str] = {}
    groups: list[str] = []
    guard: Guard | None = None
    for uuid in uuids:
        mapping = functions.get_event_source_mapping(UUID=uuid)
        source = mapping["EventSourceArn"]
        if source not in by_arn:
            continue
        configuration = functions.get_function_configuration(FunctionName=mapping["FunctionArn"])
        group = _log_group(configuration)
        found = guard_of(configuration, log_group=group)
        if found is not None:
            guard = found
            for logical in (by_arn[source], by_arn[_dead_letter_queue_of(sqs, queues[by_arn[source]])]):
                del queues[logical]
        else:
            worked[by_arn[source]] = uuid
            groups.append(group)
    if not worked:
        raise LookupError(f"stack {stack!r} has no queue that a function works off")
    return System(
        work_queues={logical: queues[logical] for logical in worked},
        dead_letter_queues={logical: url for logical, url in queues.items() if logical not in worked},
        log_groups=tuple(dict.fromkeys(groups)),
        mappings=tuple(worked.values()),
        guard=guard,
    )


def _resources(cloudformation: Any, stack: str) -> Iterator[tuple[str, str, str]]:
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            yield (
                resource["ResourceType"],
                resource["LogicalResourceId"],
                resource.get("PhysicalResourceId", ""),
            )


def _arn(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _dead_letter_queue_of(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    return str(json.loads(answer["Attributes"]["RedrivePolicy"])["deadLetterTargetArn"])


def _log_group(configuration: Mapping[str, Any]) -> str:
    name = configuration["FunctionName"]
    return str(configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}")


def depths(client: Client, system: System) -> Depths:
    """How many messages are where, now."""
    sqs = client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def count(url: str) -> list[int]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return [int(attributes.get(name, 0)) for name in names]

    worked = [count(url) for url in system.work_queues.values()]
    dead = [sum(count(url)) for url in system.dead_letter_queues.values()]
    return Depths(
        at=time.time(),
        visible=sum(counts[0] for counts in worked),
        in_flight=sum(counts[1] for counts in worked),
        dead=sum(dead),
    )


def completed_records(client: Client, system: System) -> list[str]:
    """The correlation IDs of all COMPLETED status records, one for each time it was completed."""
    logs = client("logs")
    return [
        str(record["correlation_id"])
        for group in system.log_groups
        for record in records_of(logs, group)
        if record.get("status") == "COMPLETED" and record.get("correlation_id")
    ]


def peek(client: Client, queues: Mapping[str, str], *, hide: int = 60) -> dict[str, list[str]]:
    """The correlation IDs of the messages in each queue, without deleting any.

    :param hide: seconds for which a message that was seen is not received again; more than this takes
    """
    sqs = client("sqs")
    return {logical: list(_peek(sqs, url, hide)) for logical, url in queues.items()}


def _peek(sqs: Any, url: str, hide: int) -> Iterator[str]:
    seen: set[str] = set()
    while True:
        messages: Sequence[Mapping[str, Any]] = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=hide, MessageAttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            return
        for message in messages:
            if message["MessageId"] not in seen:
                seen.add(message["MessageId"])
                yield correlation_id_of(message)


def correlation_id_of(message: Mapping[str, Any]) -> str:
    """Whose message this is: by its attribute, by its EventBridge envelope's metadata, else by its own ID."""
    attribute = message.get("MessageAttributes", {}).get("correlation_id", {}).get("StringValue")
    if attribute:
        return str(attribute)
    try:
        detail = json.loads(message.get("Body", ""))["detail"]
        return str(detail["metadata"]["correlation_id"])
    except (ValueError, KeyError, TypeError):
        return str(message.get("MessageId", ""))
