"""Which consumer keeps its poison where: a store belongs to one consumer of an app."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

from resilient_constructs.places import identity_of, path_of

__all__ = ["claim", "claim_made", "claimed_by"]

# By what names a resource, the path of the consumer that has it. Text alone, so that no app is kept alive.
_claims: dict[str, str] = {}


def claimed_by(scope: Construct, given: sqs.IQueue | dynamodb.ITable) -> str | None:
    """The consumer of this app that keeps its poison there already; None where none does."""
    return next((_claims[name] for name in _names_of(scope, given) if name in _claims), None)


def claim(scope: Construct, given: sqs.IQueue | dynamodb.ITable) -> None:
    """Note that ``scope`` was given this queue or table."""
    path = scope.node.path
    for name in _names_of(scope, given):
        _claims[name] = path


def claim_made(scope: Construct, made: IConstruct) -> None:
    """Note that ``scope`` made it: free of round trips to Node, as every consumer does this."""
    _claims[identity_of(made)] = path_of(scope, "another consumer")


def _names_of(scope: Construct, given: sqs.IQueue | dynamodb.ITable) -> tuple[str, str]:
    """Its identity in Node; and as it may have been imported twice, its ARN in this app."""
    arn = given.table_arn if hasattr(given, "table_arn") else given.queue_arn
    return identity_of(given), f"{identity_of(scope.node.root)} {arn}"
