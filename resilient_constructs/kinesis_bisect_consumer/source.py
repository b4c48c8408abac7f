"""The stream that feeds a consumer, made or given: for how long, in how many shards, and who reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.places import settle, unique_name
from resilient_constructs.resilient_function.consuming import check_unused
from resilient_constructs.resilient_function.granting import grant_sending
from resilient_constructs.tokens import is_token, seconds

from .limits import HOUR, KINESIS_PAGE, RETENTION, RETENTION_SHORTEST, SHARDS, TABLE_PAGE, TABLE_RETENTION

__all__ = ["Source", "SourceFacts", "let_consume", "let_given_consume", "make_stream", "read_source"]

# Exactly these are asked of the execution role. The CDK's grant_read adds ListStreams, which nobody calls.
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
_READ = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
# https://docs.aws.amazon.com/streams/latest/dev/controlling-access.html
_SUBSCRIBE = ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard")
_WRITE = ("kinesis:PutRecord", "kinesis:PutRecords")
_CONSUMER_NAME = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """What is known of a stream before any is made.

    :param is_table: whether it is a table's
    :param retention: seconds for which it keeps a record; the fewest that it can be, where it does not tell
    :param tells_retention: whether that is known
    :param shards: how many there are; None on demand, of a table, and where it does not tell
    """

    is_table: bool
    retention: float
    tells_retention: bool = True
    shards: float | None = None


def read_source(
    faults: Faults,
    *,
    stream: kinesis.IStream | None,
    table: dynamodb.ITable | None,
    shards: float | None,
    retention: Duration | None,
    shard_metrics: bool,
    enhanced_fan_out: bool,
) -> SourceFacts:
    """Read what was given, and note what does not fit."""
    if stream is not None and table is not None:
        faults.add("stream, table", "both", "one of the two, or neither: a stream is made then", KINESIS_PAGE)
    if table is not None:
        return _read_table(
            faults,
            table,
            {
                "shards": shards,
                "retention": None if retention is None else "given",
                "shard_metrics": shard_metrics or None,
                "enhanced_fan_out": enhanced_fan_out or None,
            },
        )
    hours = None if retention is None else seconds(retention, default=0) / HOUR
    if is_token(hours):
        # the age limit and the alarms are computed from it
        faults.add(RETENTION.prop, "a token", "a duration known at synth", RETENTION.page)
        hours = None
    faults.check(RETENTION, hours)
    faults.check(SHARDS, shards)
    if stream is None:
        kept = (RETENTION.default or 0) if hours is None else hours
        return SourceFacts(is_table=False, retention=kept * HOUR, shards=shards)
    check_unused(
        faults,
        {"shards": shards, "shard_metrics": shard_metrics or None},
        "set it on the given stream itself",
        KINESIS_PAGE,
    )
    return _read_stream(faults, stream, hours)


def _read_stream(faults: Faults, stream: kinesis.IStream, hours: float | None) -> SourceFacts:
    resource = stream.node.default_child if isinstance(stream, kinesis.Stream) else None
    if not isinstance(resource, kinesis.CfnStream):
        kept = RETENTION_SHORTEST if hours is None else hours * HOUR
        return SourceFacts(is_table=False, retention=kept, tells_retention=hours is not None)
    own = resource.retention_period_hours
    if own is not None and is_token(own):
        own = None
    elif own is None:
        own = RETENTION_SHORTEST / HOUR
    if own is not None and hours is not None and hours != own:
        allowed = f"None, or the {own:g} hours of the given stream"
        faults.add(RETENTION.prop, f"{hours:g} hours", allowed, RETENTION.page)
    kept = (own if own is not None else hours) or RETENTION_SHORTEST / HOUR
    return SourceFacts(
        is_table=False,
        retention=kept * HOUR,
        tells_retention=own is not None or hours is not None,
        shards=resource.shard_count,  # None on demand
    )


def _read_table(faults: Faults, table: dynamodb.ITable, given: Mapping[str, object]) -> SourceFacts:
    check_unused(
        faults, given, "None for a table's stream, which has 24 hours and its own shards", TABLE_PAGE
    )
    if table.table_stream_arn is None:
        faults.add(
            "table",
            "a table without a stream",
            "a table with one: dynamodb.Table(…, stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES), or one"
            " that was imported with its table_stream_arn",
            "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html",
        )
    return SourceFacts(is_table=True, retention=TABLE_RETENTION)


def make_stream(
    scope: Construct,
    facts: SourceFacts,
    *,
    shard_metrics: bool,
    encryption_key: kms.IKey | None,
) -> kinesis.Stream:
    """Make a stream: encrypted, on demand unless its shards are known, and kept when its stack goes."""
    encryption = kinesis.StreamEncryption.MANAGED if encryption_key is None else kinesis.StreamEncryption.KMS
    on_demand = facts.shards is None
    stream = kinesis.Stream(
        scope,
        "Stream",
        encryption=encryption,
        encryption_key=encryption_key,
        stream_mode=kinesis.StreamMode.ON_DEMAND if on_demand else kinesis.StreamMode.PROVISIONED,
        shard_count=facts.shards,
        retention_period=_hours(facts.retention / HOUR),
        shard_level_metrics=[kinesis.ShardLevelMetrics.ALL] if shard_metrics else None,
        removal_policy=RemovalPolicy.RETAIN,
    )
    settle(stream, scope, "Stream")
    return stream


class Source:
    """What Lambda reads records from in a function's name.

    :param scope: the consumer
    :param key: the customer key that encrypts a Kinesis stream, if any
    """

    def __init__(
        self,
        scope: Construct,
        *,
        stream: kinesis.IStream | None,
        table: dynamodb.ITable | None,
        key: kms.IKey | None,
        enhanced_fan_out: bool,
    ) -> None:
        self._scope = scope
        self._stream, self._table, self._key = stream, table, key
        self.stream_name = None if stream is None else stream.stream_name
        """By which CloudWatch knows it; None of a table's stream, which has no metrics of its own here."""
        self.arn = str((stream.stream_arn if stream is not None else table and table.table_stream_arn) or "")
        """The stream's ARN."""
        self.consumer: kinesis.CfnStreamConsumer | None = None
        """The registered consumer with a throughput of its own; None where all readers share."""
        if enhanced_fan_out:
            self.consumer = kinesis.CfnStreamConsumer(
                scope,
                "FanOut",
                consumer_name=unique_name(scope, max_length=_CONSUMER_NAME),
                stream_arn=self.arn,
            )
        self.read_from = self.arn if self.consumer is None else self.consumer.ref
        """The ARN that the event source mapping names."""

    def let_poll(self, grantee: iam.IGrantable) -> list[iam.Grant]:
        """Grant what Lambda's pollers do in a function's name; what must stand before the mapping."""
        if self._table is not None:
            return [self._table.grant_stream_read(grantee)]
        assert self._stream is not None  # noqa: S101  one of the two is there
        grants = [self._stream.grant(grantee, *_READ)]
        if self.consumer is not None:
            grants.append(
                iam.Grant.add_to_principal(
                    grantee=grantee, actions=list(_SUBSCRIBE), resource_arns=[self.read_from]
                )
            )
        if self._key is not None:
            grants.append(self._key.grant(grantee, "kms:Decrypt"))
        return grants

    def let_fetch(self, grantee: iam.IGrantable) -> None:
        """Let someone read ranges of records: the resolver."""
        if self._table is not None:
            self._table.grant_stream(grantee, "dynamodb:GetRecords", "dynamodb:GetShardIterator")
            # Unlike grant_stream_read, this adds no key, and a table's stream is under the table's own.
            # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.howitworks.html
            if self._table.encryption_key is not None:
                self._table.encryption_key.grant(grantee, "kms:Decrypt")
            return
        assert self._stream is not None  # noqa: S101  one of the two is there
        self._stream.grant(grantee, "kinesis:GetRecords", "kinesis:GetShardIterator")
        if self._key is not None:
            self._key.grant(grantee, "kms:Decrypt")

    def let_write(self, grantee: iam.IGrantable) -> None:
        """Let someone put records.

        :raises ValueError: for a table's stream, which takes no records
        """
        if self._stream is None:
            path = self._scope.node.path
            raise ValueError(f"{path}: a table's stream takes no records; write to the table itself")
        self._stream.grant(grantee, *_WRITE)
        if self._key is not None:
            self._key.grant(grantee, "kms:GenerateDataKey")


def let_consume(grantee: iam.IGrantable, source: Source, discarded: sqs.IQueue) -> list[iam.Grant]:
    """Grant what Lambda does in a function's name: to read the stream, and to tell what it gave up.

    :return: what must stand before the event source mapping, because Lambda checks it when that is made
    """
    grant_sending(discarded, grantee)
    return source.let_poll(grantee)


def let_given_consume(
    scope: Construct, function: lambda_.IFunction, source: Source, discarded: sqs.IQueue
) -> list[iam.Grant]:
    """As ``let_consume`` does, for a function whose role may be out of reach."""
    if function.role is None:
        Annotations.of(scope).add_warning_v2(
            "resilient:KinesisBisectConsumer/role",
            "The given function was imported without its role, so 0 of the permissions that Lambda's pollers"
            " need could be granted. Import it with its role, or allow it to read the stream"
            f" ({', '.join(_READ)}) and sqs:SendMessage on the queue of discarded records ({KINESIS_PAGE})",
        )
        return []
    return let_consume(function, source, discarded)


@cache
def _hours(hours: float) -> Duration:
    return Duration.hours(hours)
