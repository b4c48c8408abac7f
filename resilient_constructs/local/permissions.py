"""Are the policies right, both ways? Every recorded call allowed by them, every grant of theirs used.

Nobody has to deploy to a real account for a missing grant to be found: the local AWS records which principal
AWS would use for each call, and the calls are judged against the policies that the templates made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .emulator import LocalAws
from .policies import Grant, Statement, covers, role_of, statements_of
from .recorder import Call

__all__ = ["Proof", "judge", "policies_of", "prove"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What the calls say about the policies.

    :param denied: calls that AWS would have refused: a grant is missing; the same call once
    :param unused: grants that no call needed
    :param broad: grants of whole services or on every resource
    :param judged: how many calls were looked at
    """

    denied: tuple[Call, ...]
    unused: tuple[Grant, ...]
    broad: tuple[Grant, ...]
    judged: int


def prove(aws: LocalAws, stacks: Sequence[str], *, since: float = 0.0) -> Proof:
    """Judge every call so far against the policies of these deployed stacks, as they are now.

    Calls of principals that the stacks did not make (whoever deployed, whoever tests) are left out.

    :param since: leaves out calls before this moment, in seconds since the epoch. Default: none
    """
    owners, statements = _read(aws, stacks)
    return judge((call for call in aws.calls() if call.at >= since), statements, owners=owners)


def judge(calls: Iterable[Call], statements: Sequence[Statement], *, owners: Iterable[str] = ()) -> Proof:
    """Judge calls against policies. Pure.

    :param owners: ARNs of roles and resources to judge although they may have no policy at all: there every
        grant is missing
    """
    concerned = {*owners, *(statement.owner for statement in statements)}
    used: set[Grant] = set()
    denied: dict[tuple[str, str, str], Call] = {}
    judged = 0
    for call in calls:
        principal = role_of(call.principal)
        service = principal.endswith(".amazonaws.com")
        if principal not in concerned and not (service and call.resource in concerned):
            continue
        judged += 1
        allowing = _allowing(call, principal, statements)
        if allowing is None or not call.allowed:
            denied.setdefault((principal, call.action, call.resource), call)
        else:
            used.update(allowing)
    grants = {grant: None for statement in statements for grant in statement.grants}
    return Proof(
        denied=tuple(denied.values()),
        unused=tuple(grant for grant in grants if grant not in used),
        broad=tuple(grant for grant in grants if grant.broad),
        judged=judged,
    )


def _allowing(call: Call, principal: str, statements: Sequence[Statement]) -> list[Grant] | None:
    """The grants that allow the call; None when none does, or one denies it."""
    context = {"aws:SecureTransport": "true", "aws:PrincipalArn": principal, **call.context}
    allowing: list[Grant] = []
    for statement in statements:
        # An identity policy speaks for its own role alone, a resource policy for its own resource.
        concerned = principal if not statement.principals else call.resource
        if statement.owner != concerned:
            continue
        grant = covers(
            statement, principal=principal, action=call.action, resource=call.resource, context=context
        )
        if grant is None:
            continue
        if statement.effect == "Deny":
            return None
        allowing.append(grant)
    if call.action.startswith("kms:") and not any(grant.to for grant in allowing):
        return None  # a key's own policy must allow, or hand the decision to the account's identity policies
    # A resource policy that names the account only hands the decision on: it allows no role by itself.
    return allowing if any(_names_caller(grant, principal) for grant in allowing) else None


def _names_caller(grant: Grant, principal: str) -> bool:
    named = {"*", "AWS:*", f"AWS:{principal}", f"Service:{principal}"}
    return not grant.to or not named.isdisjoint(grant.to)


def policies_of(aws: LocalAws, stacks: Sequence[str]) -> list[Statement]:
    """Every policy statement that these stacks' templates made, with what CloudFormation filled in."""
    return _read(aws, stacks)[1]


def _read(aws: LocalAws, stacks: Sequence[str]) -> tuple[list[str], list[Statement]]:
    """ARN of everything in these stacks that can have a policy, and every statement of the policies."""
    owners: list[str] = []
    statements: list[Statement] = []
    for stack in stacks:
        pages = aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        for page in pages:
            for resource in page["StackResourceSummaries"]:
                read = _READERS.get(resource["ResourceType"])
                if read is not None:
                    owner, found = read(aws, resource["PhysicalResourceId"])
                    owners += [] if owner is None else [owner]
                    statements += found
    return owners, statements


_Policies = tuple[str | None, list[Statement]]


def _of_role(aws: LocalAws, name: str) -> _Policies:
    iam = aws.client("iam")
    owner = iam.get_role(RoleName=name)["Role"]["Arn"]
    found: list[Statement] = []
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        found += statements_of(_document(document), owner=owner, policy=policy)
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        found += statements_of(_document(document), owner=owner, policy=attached["PolicyName"])
    return owner, found


def _of_queue(aws: LocalAws, url: str) -> _Policies:
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "Policy"])
    return _of_resource(answer["Attributes"].get("Policy"), answer["Attributes"]["QueueArn"])


def _of_topic(aws: LocalAws, arn: str) -> _Policies:
    attributes = aws.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    policy = attributes.get("Policy")
    if policy and "__default_policy_ID" in policy:
        return None, []  # the topic's own, which no template made and which lets the whole account publish
    return _of_resource(policy, arn)


def _of_key(aws: LocalAws, key: str) -> _Policies:
    kms = aws.client("kms")
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    document = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    for statement in document["Statement"]:
        statement["Resource"] = arn  # in a key policy, * means this key
    return arn, statements_of(document, owner=arn, policy="key policy")


def _of_function(aws: LocalAws, name: str) -> _Policies:
    functions = aws.client("lambda")
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    try:
        return _of_resource(functions.get_policy(FunctionName=name)["Policy"], arn)
    except functions.exceptions.ResourceNotFoundException:
        return arn, []


def _of_resource(policy: str | None, arn: str) -> _Policies:
    return arn, statements_of(json.loads(policy), owner=arn, policy="resource policy") if policy else []


def _document(document: Any) -> dict[str, Any]:
    return dict(json.loads(document)) if isinstance(document, str) else dict(document)


_READERS = {
    "AWS::IAM::Role": _of_role,
    "AWS::KMS::Key": _of_key,
    "AWS::Lambda::Function": _of_function,
    "AWS::SNS::Topic": _of_topic,
    "AWS::SQS::Queue": _of_queue,
}
