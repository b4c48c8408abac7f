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
    """Nobody may do ``action`` by the policy of ``owner``, the ARN of a role, a queue or a topic.

    :raises LookupError: when no statement of the policy allows it
    """
    service = owner.split(":")[2]
    with {"iam": _role_without, "sqs": _queue_without, "sns": _topic_without}[service](aws, owner, action):
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
    raise LookupError(f"{role} has no {action}")


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
