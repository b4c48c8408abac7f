"""What a batch's role may do besides its work: begin its items, count them, keep their results.

https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import aws_s3 as s3

from resilient_constructs.tokens import pseudo

__all__ = ["own_statements", "results_statements"]

Statement = Mapping[str, Any]


def results_statements(bucket: s3.IBucket, prefix: str, *, is_distributed: bool) -> list[Statement]:
    """Writing manifests and results below the prefix; large ones in parts."""
    parts = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts")
    actions = ["s3:PutObject", *(parts if is_distributed else ())]
    statements: list[Statement] = [
        {"Effect": "Allow", "Action": sorted(actions), "Resource": f"{bucket.bucket_arn}/{prefix}*"}
    ]
    if bucket.encryption_key is not None:
        key = bucket.encryption_key.key_arn
        allowed = ["kms:Decrypt", "kms:GenerateDataKey"]
        statements.append({"Effect": "Allow", "Action": allowed, "Resource": key})
    return statements


def own_statements(
    machine_arn: str,
    machine_name: str,
    *,
    label: str | None,
    takes_turns: bool,
    on_machine: Iterable[Sequence[Statement]],
) -> list[Statement]:
    """On the state machine itself, which stands after its role.

    :param label: of its Map Run; None where items are inline
    :param on_machine: what the works need on it
    """
    own = pseudo()
    place = f"arn:{own.partition}:states:{own.region}:{own.account}"
    callers = [machine_arn] if label is None else [machine_arn, f"{machine_arn}/{label}"]
    statements: list[Statement] = [
        {**statement, "Resource": callers} for group in on_machine for statement in group
    ]
    listed = ["states:ListExecutions"] if takes_turns else []
    if label is not None:
        listed.append("states:StartExecution")
        statements += [
            {
                "Effect": "Allow",
                "Action": ["states:DescribeExecution", "states:RedriveExecution", "states:StopExecution"],
                "Resource": [
                    f"{place}:execution:{machine_name}:*",
                    f"{place}:execution:{machine_name}/{label}:*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "states:DescribeMapRun",
                "Resource": f"{place}:mapRun:{machine_name}/{label}:*",
            },
        ]
    if listed:
        statements.append({"Effect": "Allow", "Action": listed, "Resource": machine_arn})
    return statements
