"""The app that ``test_streams_on_local_aws`` deploys: mappings of streams that a circuit pauses."""

from __future__ import annotations

from aws_cdk import App, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_

from resilient_constructs import BreakerPolicy, Downstream

CODE = """
import base64, os

def handler(event, context):
    with open(os.environ["SEEN"], "a") as seen:
        for record in event["Records"]:
            if "kinesis" in record:
                print("kinesis", base64.b64decode(record["kinesis"]["data"]).decode(), file=seen)
            else:
                print("dynamodb", record["dynamodb"]["Keys"]["name"]["S"], file=seen)
"""

app = App()
stack = Stack(app, "Streams")
courier = Downstream(stack, "Courier", connections=10, breaker=BreakerPolicy())
stream = kinesis.Stream(stack, "Stream", shard_count=1)
table = dynamodb.Table(
    stack,
    "Items",
    partition_key=dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING),
    billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
    stream=dynamodb.StreamViewType.KEYS_ONLY,
    removal_policy=RemovalPolicy.DESTROY,
)
function = lambda_.Function(
    stack,
    "Worker",
    runtime=lambda_.Runtime.PYTHON_3_14,
    handler="index.handler",
    code=lambda_.Code.from_inline(CODE),
    environment={"SEEN": app.node.try_get_context("seen")},
    role=iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
)
stream.grant_read(function)
table.grant_stream_read(function)
for name, arn in (("Kinesis", stream.stream_arn), ("DynamoDB", table.table_stream_arn)):
    mapping = lambda_.EventSourceMapping(
        stack,
        name,
        target=function,
        event_source_arn=arn,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
    )
    courier.pause(stack, mapping.event_source_mapping_id)
app.synth()
