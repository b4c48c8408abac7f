from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.local import LocalAws
from resilient_constructs.testing.local import local_aws as local_aws

Stack = Callable[..., dict[str, str]]


@pytest.fixture
def stack(local_aws: LocalAws) -> Stack:
    """Deploys a template's resources and answers with the physical IDs; CloudFormation only, no Node."""

    def deploy(resources: dict[str, Any], *, name: str = "Probe") -> dict[str, str]:
        cloudformation = local_aws.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps({"Resources": resources}),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        found = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    return deploy


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    """Every test starts with an empty account."""
    if "local_aws" in request.fixturenames:
        request.getfixturevalue("local_aws").reset()


def zipped(code: str) -> bytes:
    """One Python file as a function's package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", code)
    return buffer.getvalue()
