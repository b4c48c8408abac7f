"""State machines for the probes: their role, their functions, and a wait for their ends."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from resilient_constructs.local import LocalAws

OVER = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


class Workflows:
    """Makes and runs state machines on a local AWS."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.states = aws.client("stepfunctions")

    def role(self, name: str, service: str, *allowed: tuple[str, str]) -> str:
        """A role that a service may assume, with these actions on these resources."""
        iam = self.aws.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]["Arn"]
        if allowed:
            statements = [
                {"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed
            ]
            iam.put_role_policy(
                RoleName=name,
                PolicyName="Allowed",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            )
        return str(role)

    def function(self, name: str, code: str, **more: Any) -> str:
        """A function of this code; its ARN."""
        import io
        import zipfile

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", code)
        made = self.aws.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=self.role(f"{name}Role", "lambda"),
            Code={"ZipFile": packed.getvalue()},
            **more,
        )
        return str(made["FunctionArn"])

    def machine(
        self,
        states: Mapping[str, Any],
        *allowed: tuple[str, str],
        name: str = "Machine",
        kind: str = "STANDARD",
        **more: Any,
    ) -> str:
        """A state machine in JSONata that begins with the first of these states; its ARN."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}
        made = self.states.create_state_machine(
            name=name,
            definition=json.dumps(definition),
            roleArn=self.role(f"{name}Role", "states", *allowed),
            type=kind,
        )
        return str(made["stateMachineArn"])

    def start(self, machine: str, given: Any = None, **more: Any) -> str:
        """Start an execution; its ARN."""
        return str(
            self.states.start_execution(stateMachineArn=machine, input=json.dumps(given), **more)[
                "executionArn"
            ]
        )

    def ended(self, execution: str, *, within: float = 20) -> dict[str, Any]:
        """The execution, once it is over."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            told = self.states.describe_execution(executionArn=execution)
            if told["status"] in OVER:
                return dict(told)
            time.sleep(0.05)
        raise AssertionError(f"{execution} is not over after {within} s")

    def run(self, machine: str, given: Any = None) -> dict[str, Any]:
        """Start an execution and wait for its end."""
        return self.ended(self.start(machine, given))

    def output(self, told: Mapping[str, Any]) -> Any:
        """What the execution gave back."""
        assert told["status"] == "SUCCEEDED", told
        return json.loads(told["output"])


def task(resource: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """A Task state that ends the execution, unless there is a ``Next``."""
    end = {} if "Next" in more else {"End": True}
    return {"Type": "Task", "Resource": resource, "Arguments": arguments, **end, **more}


def call(function: str, payload: Any = "{% $states.input %}", **more: Any) -> dict[str, Any]:
    """A Task state that calls a function and gives its answer on."""
    more.setdefault("Output", "{% $states.result.Payload %}")
    return task("arn:aws:states:::lambda:invoke", {"FunctionName": function, "Payload": payload}, **more)


def caught(*errors: str, into: str = "Caught") -> list[dict[str, Any]]:
    """A Catch of these errors whose output is the error's name."""
    return [{"ErrorEquals": list(errors), "Next": into, "Output": "{% $states.errorOutput.Error %}"}]


CAUGHT: Mapping[str, Any] = {"Type": "Succeed"}


def statuses(executions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The different statuses of executions."""
    return {str(one["status"]) for one in executions}
