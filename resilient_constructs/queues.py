"""SQS queues with this project's defaults: a source queue, its dead-letter queue and who may use which.

Encrypted (SSE-SQS, or a customer key), TLS only, 14 days of retention, and a dead-letter queue that takes
messages from its own source queue and from no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

from aws_cdk import Duration, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .places import settle, unique_name
from .tokens import pseudo

__all__ = [
    "QueueFacts",
    "QueueName",
    "arn_prefix",
    "facts_of",
    "make_dead_letter_queue",
    "make_queue",
    "make_undelivered_queue",
    "name_of",
    "name_queue",
    "stack_uuid",
]

# The longest that SQS keeps a message. A dead letter that ends before anybody read it is a lost message.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RETENTION_DAYS = 14

# 80 characters are allowed; "-", the stack's UUID (36) and ".fifo" leave 38 for our part.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
_OWN_PART = 38


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueName:
    """The name of a queue that is still to be made, and the ARN that it will have.

    :param name: the name; its last part is only known to CloudFormation
    :param arn: the ARN, without a reference to the queue
    """

    name: str
    arn: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFacts:
    """What must be known of a queue to send to it.

    :param fifo: whether it keeps an order
    :param encryption: None where it cannot be told (an imported queue)
    :param key: the customer key that encrypts it, if any
    """

    fifo: bool
    encryption: sqs.QueueEncryption | None
    key: kms.IKey | None


_known: WeakKeyDictionary[sqs.IQueue, QueueFacts] = WeakKeyDictionary()


def facts_of(queue: sqs.IQueue) -> QueueFacts:
    """What is known of a queue: remembered for queues made here, read from any other."""
    facts = _known.get(queue)
    if facts is None:
        encryption = queue.encryption_type
        key = queue.encryption_master_key if encryption is sqs.QueueEncryption.KMS else None
        facts = _known[queue] = QueueFacts(fifo=queue.fifo, encryption=encryption, key=key)
    return facts


def name_of(queue: sqs.IQueue) -> str:
    """The queue's name, read once: several routes and APIs may store in the same queue."""
    name = _names.get(queue)
    if name is None:
        name = _names[queue] = queue.queue_name
    return name


_names: WeakKeyDictionary[sqs.IQueue, str] = WeakKeyDictionary()


def name_queue(scope: Construct, *, fifo: bool, part: str = "") -> QueueName:
    """Name the source queue of ``scope`` the way CloudFormation would, so that its ARN needs no ``Ref``.

    The dead-letter queue names its source in the redrive allow policy, and the source names the dead-letter
    queue in its redrive policy: with two references CloudFormation sees a circle and refuses. SQS takes an
    allow policy that names a queue which does not exist yet, so one side is written out.

    The name holds the stack's UUID: a second copy of the stack, or the stack deleted and made again, gets
    another one and never waits the 60 seconds for which SQS blocks a deleted queue's name. The road not taken
    is a custom resource that sets the allow policy afterwards: a function and a role for one attribute.

    :param part: tells several source queues of one scope apart. Default: it has one

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """
    name = f"{unique_name(scope, max_length=_OWN_PART, part=part)}-{_stack_uuid()}{'.fifo' if fifo else ''}"
    return QueueName(name=name, arn=f"{arn_prefix('sqs')}{name}")


def stack_uuid() -> str:
    """The UUID of the stack that this is used in, as a token: what makes a written-out name unique."""
    return _stack_uuid()


def arn_prefix(service: str) -> str:
    """``arn:partition:service:region:account:`` of the stack that this is used in."""
    aws = pseudo()
    return f"arn:{aws.partition}:{service}:{aws.region}:{aws.account}:"


def make_dead_letter_queue(
    scope: Construct,
    construct_id: str,
    *,
    source: QueueName,
    also: Sequence[QueueName] = (),
    fifo: bool,
    encryption_key: kms.IKey | None,
) -> sqs.Queue:
    """Make the dead-letter queue that takes messages from its sources and no other queue, for 14 days.

    :param source: the queue that will redrive into this one
    :param also: further queues that will, up to nine of them
    :param fifo: a FIFO queue's dead-letter queue is FIFO as well
    :param encryption_key: a customer key. Default: SSE-SQS
    """
    # an imported view of a queue that is made later: the L2 wants an object, all it reads is the ARN
    by_name = [
        sqs.Queue.from_queue_arn(scope, f"{construct_id}Source{number}", name.arn)
        for number, name in zip(["", *range(2, len(also) + 2)], [source, *also], strict=True)
    ]
    queue = sqs.Queue(
        scope,
        construct_id,
        fifo=True if fifo else None,
        # whoever rejects a message by hand need not invent a deduplication ID
        content_based_deduplication=True if fifo else None,
        # as its source: when everything fails at once, dead letters come as fast as messages
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if fifo else None,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if fifo else None,
        encryption=_encryption(encryption_key),
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=_days(RETENTION_DAYS),
        redrive_allow_policy=sqs.RedriveAllowPolicy(
            redrive_permission=sqs.RedrivePermission.BY_QUEUE, source_queues=by_name
        ),
    )
    settle(queue, scope, construct_id)
    return _known_as(queue, fifo=fifo, key=encryption_key)


def make_queue(
    scope: Construct,
    construct_id: str,
    *,
    name: QueueName,
    fifo: bool,
    visibility_timeout: float,
    dead_letter_queue: sqs.IQueue,
    max_receive_count: int,
    encryption_key: kms.IKey | None,
) -> sqs.Queue:
    """Make a source queue that gives its messages up to ``dead_letter_queue``.

    A FIFO queue deduplicates by content, because EventBridge sends no deduplication ID, and per message
    group, because that lifts the queue's limit of 300 calls a second.

    :param name: what ``name_queue`` answered for this queue
    :param visibility_timeout: seconds for which a received message is hidden
    :param max_receive_count: receives after which a message is given up
    """
    queue = sqs.Queue(
        scope,
        construct_id,
        queue_name=name.name,
        fifo=True if fifo else None,
        content_based_deduplication=True if fifo else None,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if fifo else None,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if fifo else None,
        encryption=_encryption(encryption_key),
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=_days(RETENTION_DAYS),
        visibility_timeout=_seconds(visibility_timeout),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letter_queue, max_receive_count=max_receive_count),
    )
    settle(queue, scope, construct_id)
    return _known_as(queue, fifo=fifo, key=encryption_key)


def make_undelivered_queue(
    scope: Construct, construct_id: str, *, encryption_key: kms.IKey | None
) -> sqs.Queue:
    """Make the queue for what a service could not deliver: a rule target's dead-letter queue.

    No SQS queue redrives into it, so its redrive allow policy denies all.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    queue = sqs.Queue(
        scope,
        construct_id,
        encryption=_encryption(encryption_key),
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=_days(RETENTION_DAYS),
        redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
    )
    settle(queue, scope, construct_id)
    return _known_as(queue, fifo=False, key=encryption_key)


def _known_as(queue: sqs.Queue, *, fifo: bool, key: kms.IKey | None) -> sqs.Queue:
    _known[queue] = QueueFacts(fifo=fifo, encryption=_encryption(key), key=key)
    return queue


def _encryption(key: kms.IKey | None) -> sqs.QueueEncryption:
    return sqs.QueueEncryption.SQS_MANAGED if key is None else sqs.QueueEncryption.KMS


# Each of these is a round trip to Node and the same for every queue of the process, so it is made once.
@cache
def _stack_uuid() -> str:
    # arn:aws:cloudformation:region:account:stack/name/UUID
    return Token.as_string({"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]})


@cache
def _days(days: int) -> Duration:
    return Duration.days(days)


@cache
def _seconds(seconds: float) -> Duration:
    return Duration.seconds(seconds)
