"""A stream's consumer seen from outside: its metrics, and who may write to it and replay its poison."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from resilient_constructs.monitoring.published import as_cloudwatch

from .emitted import Emitted
from .source import Source
from .store import PoisonStore

__all__ = ["MeasuredStreamConsumer"]


class MeasuredStreamConsumer(Construct):
    """A consumer seen through its metrics and grants."""

    function: lambda_.IFunction
    """The function that consumes."""
    _emitted: Emitted
    _source: Source
    _store: PoisonStore

    def grant_write(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` put records into the Kinesis stream, and use its customer key for it; nothing else.

        :raises ValueError: where a table's stream is read, which takes no records
        """
        self._source.let_write(grantee)

    def grant_replay(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` use ``resilient poison`` here: look, replay, discard, free a key.

        The queue, and to free a key the table, have to be named then (``--queue``, ``--table``): to find the
        only one there is, all of the account would have to be listed.
        """
        self._store.let_replay(grantee)
        self.function.grant_invoke(grantee)
        if self._source.stream_name is not None:
            self._source.let_write(grantee)

    def metric_record_age(self) -> cloudwatch.Metric:
        """Milliseconds that the oldest record had waited when it was sent to the function."""
        return as_cloudwatch(self._emitted.iterator_age)

    def metric_poisoned(self) -> cloudwatch.Metric:
        """Records that were stored as poison; only a function made from a handler tells."""
        return as_cloudwatch(self._emitted.runtime("Poisoned"))

    def metric_parked(self) -> cloudwatch.Metric:
        """Records that were parked behind poison of their key."""
        return as_cloudwatch(self._emitted.runtime("Parked"))

    def metric_poison_waiting(self) -> cloudwatch.Metric:
        """Records that wait in the poison queue."""
        return as_cloudwatch(self._emitted.poison_waiting["waiting"])

    def metric_discarded(self) -> cloudwatch.Metric:
        """Records that Lambda gave up, and told of."""
        return as_cloudwatch(self._emitted.mapping("OnFailureDestinationDeliveredEventCount"))

    def metric_expired(self) -> cloudwatch.Metric:
        """Records that were lost: the stream had dropped them before they could be fetched."""
        return as_cloudwatch(self._emitted.expired)
