"""How a route reaches its store: the integration, and the role that may do it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.places import path_within, same_stack
from resilient_constructs.queues import QueueFacts, facts_of, name_of
from resilient_constructs.stores import EventStore, QueueStore
from resilient_constructs.tokens import is_token, pseudo

from .route import Route, check_fifo
from .templates import (
    accepted_by_bus,
    accepted_by_queue,
    put_events,
    refused_by_bus,
    refused_by_queue,
    send_message,
)

__all__ = ["Place", "grant_storing", "place_of"]

_CONTENT_TYPE = "application/json"
# Everything that is not 2xx is an error. The peer that leaves the success without a pattern answers 200 for
# an SQS 403, because the pattern-less response is the default one.
_STORED = r"2\d\d"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A store as API Gateway sees it.

    :param uri: the integration's URI
    :param headers: the integration request's headers
    :param request: the template that writes the storage call
    :param accepted: the template for 2xx
    :param refused: the template for everything else
    :param statements: what the API's role must be allowed, as IAM statements
    :param named: what the store's token stands for, in words that change when the store's construct does;
        empty where only Node knows. A logical ID overridden by hand is not seen
    """

    uri: str
    headers: Mapping[str, str]
    request: str
    accepted: str
    refused: str
    statements: tuple[Mapping[str, Any], ...]
    named: Mapping[str, str]

    def integration(self, role_arn: str) -> apigateway.CfnMethod.IntegrationProperty:
        """The integration: store first, and answer by what the storage said."""
        return apigateway.CfnMethod.IntegrationProperty(
            type="AWS",
            integration_http_method="POST",
            uri=self.uri,
            credentials=role_arn,
            # Other content types get 415; passing them through would evade schema and template.
            passthrough_behavior="NEVER",
            request_parameters={
                f"integration.request.header.{name}": f"'{value}'" for name, value in self.headers.items()
            },
            request_templates={_CONTENT_TYPE: self.request},
            integration_responses=[
                apigateway.CfnMethod.IntegrationResponseProperty(
                    status_code="202",
                    selection_pattern=_STORED,
                    response_templates={_CONTENT_TYPE: self.accepted},
                ),
                apigateway.CfnMethod.IntegrationResponseProperty(
                    status_code="503",
                    response_parameters={"method.response.header.Content-Type": "'application/problem+json'"},
                    response_templates={_CONTENT_TYPE: self.refused},
                ),
            ],
        )

    @property
    def definition(self) -> Mapping[str, Any]:
        """All that a new deployment of the API would be needed for."""
        return {
            "uri": self.uri,
            "headers": dict(self.headers),
            "templates": [self.request, self.accepted, self.refused],
        }


def place_of(scope: Construct, route: Route, faults: Faults) -> Place:
    """The route's store as a place; a queue's kind is checked on the way.

    :param scope: the API
    """
    store = route.store
    if isinstance(store, EventStore):
        return _bus(scope, store)
    wanted = store if isinstance(store, QueueStore) else QueueStore(queue=store)
    facts = facts_of(wanted.queue)
    check_fifo(route, fifo=facts.fifo, faults=faults)
    return _queue(scope, wanted, facts)


def _bus(scope: Construct, store: EventStore) -> Place:
    arn = store.bus_arn or store.bus.event_bus_arn
    region = pseudo().region if is_token(arn) else arn.split(":")[3]
    return Place(
        uri=f"arn:{pseudo().partition}:apigateway:{region}:events:action/PutEvents",
        headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.PutEvents"},
        request=put_events(bus=arn, source=store.source, detail_type=store.detail_type),
        accepted=accepted_by_bus(),
        refused=refused_by_bus(),
        statements=({"Effect": "Allow", "Action": "events:PutEvents", "Resource": arn},),
        named=_named(arn, path_within(store.bus, scope)),
    )


def _queue(scope: Construct, store: QueueStore, facts: QueueFacts) -> Place:
    if isinstance(store.queue, sqs.Queue) and same_stack(store.queue, scope):
        region, account, name = pseudo().region, pseudo().account, name_of(store.queue)
        # follows from the name; reading it would be one more round trip to Node
        arn = f"arn:{pseudo().partition}:sqs:{region}:{account}:{name}"
    else:
        arn = store.queue.queue_arn
        if is_token(arn):
            region, account, name = pseudo().region, pseudo().account, name_of(store.queue)
        else:
            region, account, name = arn.split(":")[3:6]
    return Place(
        uri=f"arn:{pseudo().partition}:apigateway:{region}:sqs:path/{account}/{name}",
        # SQS answers a form in JSON or XML, as Accept says. In XML the templates would find no message ID: a
        # stored message would be answered 503 and sent again.
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        request=send_message(
            message_group=store.message_group, deduplicate_by=store.deduplicate_by, fifo=facts.fifo
        ),
        accepted=accepted_by_queue(),
        refused=refused_by_queue(),
        statements=(
            {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn},
            *_key_use(facts.key),
        ),
        named=_named(name, path_within(store.queue, scope)),
    )


def _named(token: str, path: str | None) -> Mapping[str, str]:
    return {} if path is None or not is_token(token) else {token: f"the one at {path}"}


def _key_use(key: kms.IKey | None) -> tuple[Mapping[str, Any], ...]:
    """A queue with a customer key takes messages only from who may use the key.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    if key is None:
        return ()
    return ({"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key.key_arn},)


def grant_storing(scope: Construct, role: iam.IRole | None, places: Sequence[Place]) -> str:
    """The ARN of the role that stores: the given one with what it needs added, or one made for it alone."""
    statements = list({json.dumps(s): s for place in places for s in place.statements}.values())
    if role is not None:
        for statement in statements:
            role.add_to_principal_policy(iam.PolicyStatement.from_json(statement))
        return role.role_arn
    # No condition on whom API Gateway acts for: its documentation names no source key for integration
    # roles, and nobody can hand this role to an API of theirs without iam:PassRole in this account.
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    made = iam.CfnRole(
        scope,
        "Role",
        assume_role_policy_document=_policy(trust),
        policies=[iam.CfnRole.PolicyProperty(policy_name="Store", policy_document=_policy(*statements))],
    )
    return made.attr_arn


def _policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
