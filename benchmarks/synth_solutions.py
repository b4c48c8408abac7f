"""The nearest that AWS Solutions Constructs come: API → queue → function; no bus, alarms or dashboard."""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_solutions_constructs.aws_apigateway_sqs import ApiGatewayToSqs
from aws_solutions_constructs.aws_sqs_lambda import SqsToLambda
from constructs import Construct

from .synth_apps import HANDLER

__all__ = ["copy", "share"]


def share(_stack: Stack) -> None:
    """Nothing is shared."""


def copy(scope: Construct, name: str, _shared: None) -> None:
    """One API → queue → function."""
    here = Construct(scope, name)
    api = ApiGatewayToSqs(here, "Api", allow_create_operation=True)
    SqsToLambda(
        here,
        "Work",
        existing_queue_obj=api.sqs_queue,
        lambda_function_props=lambda_.FunctionProps(
            code=lambda_.Code.from_asset(HANDLER),
            handler="work.do",
            runtime=lambda_.Runtime.PYTHON_3_13,
            timeout=Duration.seconds(30),
        ),
    )
