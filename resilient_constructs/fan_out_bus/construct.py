"""An event bus, its archive, and a queue of its own for every subscriber."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from aws_cdk import Duration, Names
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import same_stack, settle
from resilient_constructs.queues import arn_prefix
from resilient_constructs.stores import EventStore, Subscriber
from resilient_constructs.tokens import is_token, seconds

from .limits import RETENTION, RETRY_AGE, RETRY_ATTEMPTS
from .subscription import BusName, Subscription, Wanted

__all__ = ["FanOutBus"]

_BUS_NAME = 256
_DAY = 86_400


class FanOutBus(Construct):
    """An event bus on which one event reaches many consumers, each at its own pace.

    Makes the bus and an archive to replay from. Every subscriber has a queue of its own, so that a slow or
    broken one holds up nobody else.

    :param archive: whether events are kept for replay. Default: they are
    :param archive_for: how long, in whole days. Default: 30 days
    :param event_bus: a bus of yours, also an imported one. Default: a bus is made
    :param encryption_key: a customer key for the bus made here, its archive and the queues of undelivered
        events. Default: keys of AWS (the bus and archive), of SQS (the queues)
    :param on_call: whom the alarms of its subscriptions tell. Default: they tell nobody
    :raises ValueError: when values are impossible; all faults at once

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        archive: bool = True,
        archive_for: Duration | None = None,
        event_bus: events.IEventBus | None = None,
        encryption_key: kms.IKey | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        self._title = construct_id
        self._owner = f"FanOutBus {construct_id!r}"
        faults = Faults(self._owner)
        days = _whole_days(faults, archive_for)
        if not archive and archive_for is not None:
            faults.add("archive_for", f"{days:g} days", "only where archive is on", RETENTION.page)
        faults.raise_any()

        self._on_call = on_call
        self._encryption_key = encryption_key
        name = None if event_bus is not None else _name_bus(self)
        self.event_bus: events.IEventBus = event_bus or events.EventBus(
            self, "Bus", event_bus_name=name, kms_key=encryption_key
        )
        """The bus that ``PutEvents`` goes to."""
        if event_bus is None:
            settle(self.event_bus, self, "Bus")
        self._bus_arn = self.event_bus.event_bus_arn
        self._bus = self._called(name)
        self.archive: events.CfnArchive | None = None
        """The archive to replay from; None where it was declined."""
        if archive:
            if encryption_key is not None:
                _let_archive_use(encryption_key, self._bus.written_out)
            self.archive = events.CfnArchive(
                self,
                "Archive",
                source_arn=self._bus_arn,
                retention_days=days,
                kms_key_identifier=None if encryption_key is None else encryption_key.key_arn,
            )

    def events(self, *, source: str, detail_type: str) -> EventStore:
        """This bus as a place for an API route to store what it accepts.

        :param source: the events' ``source``, for example ``shop``
        :param detail_type: their ``detail-type``, for example ``OrderPlaced``
        """
        return EventStore(bus=self.event_bus, source=source, detail_type=detail_type, bus_arn=self._bus_arn)

    def subscribe(
        self,
        construct_id: str,
        consumer: Subscriber | sqs.IQueue,
        *,
        detail_type: Sequence[str] = (),
        source: Sequence[str] = (),
        detail: Mapping[str, object] | None = None,
        everything: bool = False,
        message_group: str | None = None,
        retry_for: Duration | None = None,
        retry_attempts: int | None = None,
    ) -> Subscription:
        """Put every matching event into the consumer's queue.

        Makes a rule and a queue for what EventBridge could not deliver. They become children of this bus; for
        a queue in another stack, children of that queue, because the bus's stack would otherwise depend on
        the queue's and the other way round.

        :param construct_id: the subscription's construct ID
        :param consumer: whoever has a ``queue``, such as ``FlowControlledConsumer``, or a queue
        :param detail_type: takes events of any of these types. Default: of all types
        :param source: takes events from any of these sources. Default: from all sources
        :param detail: an event pattern that the detail must match. Default: any detail
        :param everything: takes every event; to be said, so that no filter is forgotten. Default: no
        :param message_group: the message group of all its events; needed for a FIFO queue, which must
            deduplicate by content
        :param retry_for: how long EventBridge tries to deliver an event. Default: 24 hours
        :param retry_attempts: how often it tries again. Default: 185 times
        :raises ValueError: when there is no filter, the queue is encrypted with the AWS-managed key that
            EventBridge cannot use, or values are out of range; all faults at once

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
        """
        faults = Faults(f"{self._owner}.subscribe({construct_id!r})")
        age = seconds(retry_for, default=RETRY_AGE.default or 0)
        attempts = RETRY_ATTEMPTS.default if retry_attempts is None else retry_attempts
        faults.check(RETRY_AGE, age)
        faults.check(RETRY_ATTEMPTS, attempts)
        queue = consumer.queue if isinstance(consumer, Subscriber) else consumer
        home = self if same_stack(self, queue) else cast(Construct, queue)
        return Subscription(
            home,
            construct_id,
            title=f"{self._title} → {construct_id}",
            bus=self._bus,
            queue=queue,
            wanted=Wanted(detail_type=detail_type, source=source, detail=detail, everything=everything),
            message_group=message_group,
            retry_for=age,
            retry_attempts=attempts or 0,
            encryption_key=self._encryption_key,
            on_call=self._on_call,
            faults=faults,
        )

    def grant_put_events(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` put events on this bus, and nothing else."""
        self.event_bus.grant_put_events_to(grantee)

    def _called(self, made: str | None) -> BusName:
        name = self.event_bus.event_bus_name
        if made is not None and self._encryption_key is not None:
            return BusName(name=name, written_out=made)
        return BusName(name=name, written_out=name)


def _name_bus(bus: FanOutBus) -> str:
    """A name that holds the stack's name, where the one that an EventBus gives itself holds its construct ID.

    Otherwise two environments in one account, ``Stack(app, "Shop", stack_name=f"shop-{environment}")``, would
    have one bus name between them, and the second could not be deployed. The stack's UUID, as in a queue's
    name, is not for it: a key's policy in another stack has to know the name too.

    256 characters are allowed: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
    """
    return Names.unique_resource_name(
        bus, max_length=_BUS_NAME, separator="-", allowed_special_characters="-"
    )


def _let_archive_use(key: kms.IKey, bus_name: str) -> None:
    """Let EventBridge encrypt events anew for the archive, which its statement for the bus does not cover.

    Without it the archive cannot be made, or stays empty. The bus is named without a reference, because a bus
    that the same key encrypts would be a circle.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/encryption-archives.html#encryption-archives-key-policy
    """
    eventbridge = iam.ServicePrincipal("events.amazonaws.com")
    bus_arn = f"{arn_prefix('events')}event-bus/{'*' if is_token(bus_name) else bus_name}"
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[eventbridge],
            actions=["kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncrypt*"],
            resources=["*"],  # in a key policy: this key
            conditions={"StringLike": {"kms:EncryptionContext:aws:events:event-bus:arn": bus_arn}},
        )
    )
    # a description carries no encryption context
    key.add_to_resource_policy(
        iam.PolicyStatement(principals=[eventbridge], actions=["kms:DescribeKey"], resources=["*"])
    )


def _whole_days(faults: Faults, archive_for: Duration | None) -> float:
    if archive_for is None:
        return RETENTION.default or 0
    if archive_for.is_unresolved():
        # a duration of a parameter cannot be turned into days
        faults.add("archive_for", "a token", "a duration known at synth", RETENTION.page)
        return 0
    days = seconds(archive_for, default=0) / _DAY
    faults.check(RETENTION, days)
    if days != int(days):
        faults.add("archive_for", f"{days:g} days", "whole days", RETENTION.page)
    return days
