from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from resilient_constructs.local import LocalAws
from resilient_constructs.testing.local import local_aws as local_aws


@pytest.fixture
def create_stack(local_aws: LocalAws) -> Callable[..., dict[str, str]]:
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
