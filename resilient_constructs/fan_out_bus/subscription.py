"""One rule of a bus and the queue that it feeds, with a queue for what could not be delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aws_cdk import Annotations, Fn
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs import queues
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.monitoring.published import as_cloudwatch
from resilient_constructs.places import same_stack, settle, unique_name

from .limits import ENCRYPTED_QUEUE_PAGE, FIFO_PAGE, PATTERN_PAGE
from .signals import Emitted, subscription_section, subscription_signals

__all__ = ["BusName", "Subscription", "Wanted"]

_EVENTBRIDGE = "events.amazonaws.com"
# What a service needs to send to an encrypted queue.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
_USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
_OWN_PART = 27


@dataclass(frozen=True, kw_only=True, slots=True)
class BusName:
    """How a bus is called.

    :param name: as rules name it
    :param written_out: the same without a reference to the bus, for the policy of a key that the bus itself
        uses: a reference would be a circle
    """

    name: str
    written_out: str

    @property
    def is_default(self) -> bool:
        """Whether it is the account's default bus, whose rules are named differently."""
        return self.name == "default"

    def rule_arn(self, rule_name: str, *, written_out: bool = False) -> str:
        """The ARN of a rule of this bus."""
        bus = self.written_out if written_out else self.name
        rule = rule_name if self.is_default else f"{bus}/{rule_name}"
        return f"{queues.arn_prefix('events')}rule/{rule}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which events a subscriber wants.

    :param detail_type: any of these; empty for all
    :param source: any of these; empty for all
    :param detail: an event pattern for the detail
    :param everything: whether all events of the bus are wanted
    """

    detail_type: Sequence[str]
    source: Sequence[str]
    detail: Mapping[str, object] | None
    everything: bool

    def check(self, faults: Faults) -> None:
        """Note a filter that lets nothing, or unexpectedly everything, through."""
        for prop, values in (("detail_type", self.detail_type), ("source", self.source)):
            if isinstance(values, str):
                faults.add(prop, values, "a list of strings", PATTERN_PAGE)
            elif "" in values:
                faults.add(prop, list(values), "no empty strings", PATTERN_PAGE)
        filtered = bool(self.detail_type or self.source or self.detail)
        if not filtered and not self.everything:
            # a forgotten filter is silent: the consumer gets every team's events, and pays for them
            faults.add("detail_type, source, detail", "empty", "a filter, or everything=True", PATTERN_PAGE)
        if filtered and self.everything:
            faults.add("everything", True, "False beside a filter", PATTERN_PAGE)

    def pattern(self) -> dict[str, object]:
        """The rule's event pattern."""
        if self.everything:
            # EventBridge refuses an empty pattern; every event has a source, and each begins with nothing
            return {"source": [{"prefix": ""}]}
        pattern: dict[str, object] = {}
        if self.source:
            pattern["source"] = list(self.source)
        if self.detail_type:
            pattern["detail-type"] = list(self.detail_type)
        if self.detail:
            pattern["detail"] = dict(self.detail)
        return pattern


class Subscription(Construct):
    """A rule that puts events of a bus into one queue; made by ``FanOutBus.subscribe``.

    :param bus: the bus
    :param queue: where its events go
    :param wanted: which events
    :param message_group: the message group of all its events, for a FIFO queue
    :param retry_for: seconds for which EventBridge tries to deliver one event
    :param retry_attempts: how often it tries again in that time
    :param encryption_key: a customer key for the queue of undelivered events
    :param on_call: whom the alarms tell
    :raises ValueError: when EventBridge could not deliver to that queue, or the filter is missing; all faults
        at once

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        title: str,
        bus: BusName,
        queue: sqs.IQueue,
        wanted: Wanted,
        message_group: str | None,
        retry_for: float,
        retry_attempts: float,
        encryption_key: kms.IKey | None,
        on_call: OnCall | None,
        faults: Faults,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        facts = queues.facts_of(queue)
        wanted.check(faults)
        _check_queue(faults, facts, message_group)
        faults.raise_any()

        self.queue = queue
        """Where its events go."""
        self.undelivered_queue = queues.make_undelivered_queue(
            self, "Undelivered", encryption_key=encryption_key
        )
        """The rule target's dead-letter queue: events that EventBridge could not deliver."""
        name = _name_rule(self)
        deliveries = self._let_deliver(bus.rule_arn(name))
        self._let_use_keys([facts.key, encryption_key], bus, name)
        self.rule = events.CfnRule(
            self,
            "Rule",
            name=name,
            event_bus_name=bus.name,
            event_pattern=wanted.pattern(),
            targets=[
                {
                    "id": "Queue",
                    "arn": queue.queue_arn,
                    "deadLetterConfig": {"arn": self.undelivered_queue.queue_arn},
                    "retryPolicy": {
                        "maximumEventAgeInSeconds": retry_for,
                        "maximumRetryAttempts": retry_attempts,
                    },
                    "sqsParameters": None if message_group is None else {"messageGroupId": message_group},
                }
            ],
        )
        """The rule."""
        for delivery in deliveries:
            delivery.apply_before(self.rule)

        self._emitted = Emitted(
            bus_name=None if bus.is_default else bus.name,
            rule_name=name,
            undelivered_queue_name=self.undelivered_queue.queue_name,
        )
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = monitor(
            self,
            signals=subscription_signals(self._emitted),
            section=subscription_section(title, self._emitted),
            on_call=on_call,
        )
        """The alarms by signal: ``UndeliveredEvents``, ``LostEvents`` …"""

    def metric_delivered(self) -> cloudwatch.Metric:
        """Events handed to the queue, or given up on."""
        return as_cloudwatch(self._published.delivered)

    def metric_failed(self) -> cloudwatch.Metric:
        """Events that EventBridge gave up on."""
        return as_cloudwatch(self._published.failed)

    def metric_undelivered(self) -> cloudwatch.Metric:
        """Events that wait in the delivery dead-letter queue."""
        return as_cloudwatch(self._published.undelivered)

    @property
    def _published(self) -> Emitted:
        # The written-out name holds the UUID of the stack that it stands in, so it is wrong in an alarm of
        # another stack. Ref would answer "bus|rule", so the name is cut from the ARN.
        # https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1949
        position = 1 if self._emitted.bus_name is None else 2
        return replace(self._emitted, rule_name=Fn.select(position, Fn.split("/", self.rule.attr_arn)))

    def _let_deliver(self, rule_arn: str) -> tuple[iam.Grant, iam.Grant]:
        # exactly SendMessage for exactly this rule; the CDK's SqsQueue target also lets it look up the
        # queue's URL and attributes
        rule = iam.ServicePrincipal(_EVENTBRIDGE, conditions={"ArnEquals": {"aws:SourceArn": rule_arn}})
        granted = self.queue.grant(rule, "sqs:SendMessage")
        # Grant.success does not tell: it is true for a statement that found no policy to stand in
        if not isinstance(self.queue, sqs.Queue):
            Annotations.of(self).add_warning_v2(
                "resilient:FanOutBus/queue-policy",
                "The given queue is imported, so 0 of 1 statements could be added to its policy. Allow"
                f" {_EVENTBRIDGE} sqs:SendMessage where aws:SourceArn is this rule's ARN, or no event arrives"
                " (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html)",
            )
        return granted, self.undelivered_queue.grant(rule, "sqs:SendMessage")

    def _let_use_keys(self, keys: Sequence[kms.IKey | None], bus: BusName, rule_name: str) -> None:
        customers = [key for key in keys if key is not None]
        for position, key in enumerate(customers):
            if any(key is earlier for earlier in customers[:position]):
                continue
            if same_stack(self, key):
                rule_arn = bus.rule_arn(rule_name, written_out=True)
            else:
                # the name holds this stack's UUID and the bus may be this stack's: neither can be said in the
                # key's stack, so any rule of the account may use the key, as far as the queues let it send
                rule_arn = f"{queues.arn_prefix('events')}rule/*"
            rule = iam.ServicePrincipal(_EVENTBRIDGE, conditions={"ArnLike": {"aws:SourceArn": rule_arn}})
            key.grant(rule, *_USE_KEY)
            if not isinstance(key, kms.Key):
                Annotations.of(self).add_warning_v2(
                    "resilient:FanOutBus/key-policy",
                    "The given key is imported, so 0 of 1 statements could be added to its policy. Allow"
                    f" {_EVENTBRIDGE} {' and '.join(_USE_KEY)}, or no event arrives ({ENCRYPTED_QUEUE_PAGE})",
                )


def _check_queue(faults: Faults, queue: queues.QueueFacts, message_group: str | None) -> None:
    if queue.encryption is sqs.QueueEncryption.KMS_MANAGED:
        # its key policy cannot be changed, so EventBridge can never use it and drops every event
        faults.add(
            "queue.encryption",
            "the AWS-managed key alias/aws/sqs",
            "SQS_MANAGED, or KMS with a customer key",
            ENCRYPTED_QUEUE_PAGE,
        )
    if queue.fifo and not message_group:
        faults.add("message_group", message_group, "a message group, because the queue is FIFO", FIFO_PAGE)
    if not queue.fifo and message_group:
        faults.add("message_group", message_group, "none, because the queue is not FIFO", FIFO_PAGE)


def _name_rule(scope: Construct) -> str:
    # Written out like a source queue's name (see queues.name_queue), so that the queues' policies need no
    # reference to the rule and can stand before it. With a reference the rule would be at work for some
    # seconds before it may deliver: what came then would be refused by both queues and lost.
    # 64 characters are allowed: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
    return f"{unique_name(scope, max_length=_OWN_PART)}-{queues.stack_uuid()}"
