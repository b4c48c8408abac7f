"""Take one grant away from a deployed stack for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resilient_constructs.local import LocalAws

__all__ = ["without"]


@contextmanager
def without(aws: LocalAws, owner: str, action: str) -> Iterator[None]:
    """Nobody may do ``action`` by the policy of ``owner``, the ARN of a role, a function, a queue or a topic.

    :raises LookupError: when no statement of the policy allows it
    """
    service = owner.split(":")[2]
    with {
        "iam": _role_without,
        "lambda": _function_without,
        "sqs": _queue_without,
        "sns": _topic_without,
    }[service](aws, owner, action):
        yield


@contextmanager
def _role_without(aws: LocalAws, owner: str, action: str) -> Iterator[None]:
    iam, role = aws.client("iam"), owner.rsplit("/", 1)[-1]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        less = _less(document, action)
        if less is None:
            continue
        if less["Statement"]:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
        else:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        try:
            yield
        finally:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
        return
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        with _managed_policy_without(iam, role, attached["PolicyArn"], action) as found:
            if found:
                yield
                return
    raise LookupError(f"{role} has no {action}")


@contextmanager
def _managed_policy_without(iam: Any, role: str, arn: str, action: str) -> Iterator[bool]:
    """The role has what is left of the policy as one of its own; other roles keep the whole."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    less = _less(json.loads(document) if isinstance(document, str) else document, action)
    if less is None:
        yield False
        return
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    if less["Statement"]:
        iam.put_role_policy(RoleName=role, PolicyName="what-is-left", PolicyDocument=json.dumps(less))
    try:
        yield True
    finally:
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        if less["Statement"]:
            iam.delete_role_policy(RoleName=role, PolicyName="what-is-left")


@contextmanager
def _function_without(aws: LocalAws, owner: str, action: str) -> Iterator[None]:
    functions, name = aws.client("lambda"), owner.rsplit(":", 1)[-1]
    statements = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    (found,) = [one for one in statements if one["Action"] == action]
    functions.remove_permission(FunctionName=name, StatementId=found["Sid"])
    try:
        yield
    finally:
        functions.add_permission(
            FunctionName=name,
            StatementId=found["Sid"],
            Action=action,
            Principal=found["Principal"]["Service"],
            SourceArn=found["Condition"]["ArnLike"]["AWS:SourceArn"],
        )


@contextmanager
def _queue_without(aws: LocalAws, owner: str, action: str) -> Iterator[None]:
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=owner.rsplit(":", 1)[-1])["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    less = _less(json.loads(policy), action)
    if less is None:
        raise LookupError(f"{owner} has no {action}")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(less)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


@contextmanager
def _topic_without(aws: LocalAws, owner: str, action: str) -> Iterator[None]:
    sns = aws.client("sns")
    policy = sns.get_topic_attributes(TopicArn=owner)["Attributes"]["Policy"]
    less = _less(json.loads(policy), action)
    if less is None:
        raise LookupError(f"{owner} has no {action}")
    sns.set_topic_attributes(TopicArn=owner, AttributeName="Policy", AttributeValue=json.dumps(less))
    try:
        yield
    finally:
        sns.set_topic_attributes(TopicArn=owner, AttributeName="Policy", AttributeValue=policy)


def _less(document: dict[str, Any], action: str) -> dict[str, Any] | None:
    """The policy without the action; None when no statement of it allows the action."""
    kept, found = [], False
    for statement in document["Statement"]:
        actions = statement["Action"]
        listed = actions if isinstance(actions, list) else [actions]
        left = listed if statement["Effect"] != "Allow" else [one for one in listed if one != action]
        found = found or len(left) < len(listed)
        if left:
            kept.append({**statement, "Action": left})
    return {**document, "Statement": kept} if found else None
