"""What ``cdk bootstrap`` would make, as far as one assembly needs it: buckets, roles, a version parameter.

The user's app stays as it is, its synthesizer too. The road not taken is CliCredentialsStackSynthesizer,
which every stack would have to name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from resilient_constructs.template import Assembly

from .emulator import ACCOUNT, REGION, LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bootstrap"]

_VERSION = "32"
"""At least what any stack of aws-cdk-lib 2.275 asks for (6); a newer one satisfies an older stack."""
_PLACEHOLDERS = {"${AWS::Partition}": "aws", "${AWS::AccountId}": ACCOUNT, "${AWS::Region}": REGION}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "cloudformation.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    ],
}


def bootstrap(aws: LocalAws, assembly: Assembly) -> None:
    """Make what the assembly expects to find in its account; what is there already stays."""
    _make_buckets(aws, {_fill(asset.bucket) for asset in assembly.assets})
    _make_roles(aws, {_fill(role).rsplit("/", 1)[-1] for role in assembly.roles})
    for parameter in assembly.parameters:
        aws.client("ssm").put_parameter(Name=parameter, Value=_VERSION, Type="String", Overwrite=True)


def _fill(text: str) -> str:
    for placeholder, value in _PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text


def _make_buckets(aws: LocalAws, names: Iterable[str]) -> None:
    s3 = aws.client("s3")
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in sorted(set(names) - there):
        s3.create_bucket(Bucket=name)


def _make_roles(aws: LocalAws, names: Iterable[str]) -> None:
    iam = aws.client("iam")
    there = {
        role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]
    }
    for name in sorted(set(names) - there):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
        iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
