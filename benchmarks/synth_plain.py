"""The same chain by hand: plain L2 constructs and cdk-monitoring-constructs."""

from __future__ import annotations

import json
from typing import NamedTuple

import cdk_monitoring_constructs as monitoring
from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .synth_apps import HANDLER, ORDER

__all__ = ["copy", "share"]

PROBLEM = '{"type":"about:blank","title":"not stored","status":503}'
ENTRY = (
    '{"Entries":[{"Source":"shop","DetailType":"OrderPlaced",'
    '"Detail":"$util.escapeJavaScript($input.body)","EventBusName":"%s"}]}'
)


def share(stack: Stack) -> monitoring.MonitoringFacade:
    """A topic with an address, and the facade that makes alarms and the dashboard."""
    topic = sns.Topic(stack, "OnCall", enforce_ssl=True)
    topic.add_subscription(subscriptions.EmailSubscription("ops@example.com"))
    return monitoring.MonitoringFacade(
        stack,
        "Monitoring",
        alarm_factory_defaults=monitoring.AlarmFactoryDefaults(
            actions_enabled=True,
            alarm_name_prefix=stack.stack_name,
            action=monitoring.SnsAlarmActionStrategy(on_alarm_topic=topic, on_ok_topic=topic),
        ),
    )


class _Parts(NamedTuple):
    api: apigateway.RestApi
    rule: events.Rule
    undelivered: sqs.Queue
    queue: sqs.Queue
    dead_letters: sqs.Queue
    function: lambda_.Function


def copy(scope: Construct, name: str, facade: monitoring.MonitoringFacade) -> None:
    """One API → bus → queue → function."""
    here = Construct(scope, name)
    bus = events.EventBus(here, "Bus")
    bus.archive("Archive", event_pattern=events.EventPattern(source=["shop"]), retention=Duration.days(30))
    api = _api(here, bus)
    dead_letters = _queue(here, "DeadLetters")
    queue = sqs.Queue(
        here,
        "Queue",
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=Duration.seconds(180),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=10),
    )
    undelivered = _queue(here, "Undelivered")
    rule = events.Rule(
        here,
        "Rule",
        event_bus=bus,
        event_pattern=events.EventPattern(detail_type=["OrderPlaced"]),
        targets=[targets.SqsQueue(queue, dead_letter_queue=undelivered)],
    )
    function = _function(here, queue)
    _monitor(name, facade, _Parts(api, rule, undelivered, queue, dead_letters, function))


def _queue(here: Construct, name: str) -> sqs.Queue:
    return sqs.Queue(here, name, enforce_ssl=True, retention_period=Duration.days(14))


def _api(here: Construct, bus: events.EventBus) -> apigateway.RestApi:
    access_log = logs.LogGroup(here, "AccessLog", retention=logs.RetentionDays.ONE_MONTH)
    api = apigateway.RestApi(
        here,
        "Api",
        endpoint_types=[apigateway.EndpointType.REGIONAL],
        cloud_watch_role=False,
        deploy_options=apigateway.StageOptions(
            access_log_destination=apigateway.LogGroupLogDestination(access_log),
            access_log_format=apigateway.AccessLogFormat.json_with_standard_fields(
                caller=True,
                http_method=True,
                ip=True,
                protocol=True,
                request_time=True,
                resource_path=True,
                response_length=True,
                status=True,
                user=True,
            ),
            throttling_rate_limit=100,
            throttling_burst_limit=200,
            tracing_enabled=True,
        ),
    )
    for kind in ("BAD_REQUEST_BODY", "THROTTLED", "DEFAULT_5_XX"):
        api.add_gateway_response(
            kind, type=getattr(apigateway.ResponseType, kind), templates={"application/problem+json": PROBLEM}
        )
    role = iam.Role(here, "Role", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
    bus.grant_put_events_to(role)
    method = api.root.add_resource("orders").add_method(
        "POST",
        _put_events(bus, role),
        authorization_type=apigateway.AuthorizationType.IAM,
        request_validator_options=apigateway.RequestValidatorOptions(validate_request_body=True),
        request_models={"application/json": _model(api)},
        method_responses=[apigateway.MethodResponse(status_code=code) for code in ("202", "503")],
    )
    assert method is not None
    return api


def _model(api: apigateway.RestApi) -> apigateway.Model:
    string = apigateway.JsonSchemaType.STRING
    return api.add_model(
        "Order",
        schema=apigateway.JsonSchema(
            type=apigateway.JsonSchemaType.OBJECT,
            properties={"order_id": apigateway.JsonSchema(type=string, min_length=1, max_length=64)},
            required=list(ORDER["required"]),
        ),
    )


def _put_events(bus: events.EventBus, role: iam.Role) -> apigateway.AwsIntegration:
    return apigateway.AwsIntegration(
        service="events",
        action="PutEvents",
        options=apigateway.IntegrationOptions(
            credentials_role=role,
            passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
            request_parameters={
                "integration.request.header.X-Amz-Target": "'AWSEvents.PutEvents'",
                "integration.request.header.Content-Type": "'application/x-amz-json-1.1'",
            },
            request_templates={"application/json": ENTRY % bus.event_bus_name},
            integration_responses=[
                apigateway.IntegrationResponse(
                    status_code="202",
                    selection_pattern=r"2\d\d",
                    response_templates={"application/json": json.dumps({"accepted": True})},
                ),
                apigateway.IntegrationResponse(
                    status_code="503", response_templates={"application/json": PROBLEM}
                ),
            ],
        ),
    )


def _function(here: Construct, queue: sqs.Queue) -> lambda_.Function:
    function = lambda_.Function(
        here,
        "Function",
        code=lambda_.Code.from_asset(HANDLER),
        handler="work.do",
        runtime=lambda_.Runtime.PYTHON_3_13,
        architecture=lambda_.Architecture.ARM_64,
        memory_size=256,
        timeout=Duration.seconds(30),
        tracing=lambda_.Tracing.ACTIVE,
        log_group=logs.LogGroup(here, "Log", retention=logs.RetentionDays.ONE_MONTH),
        logging_format=lambda_.LoggingFormat.JSON,
    )
    function.add_event_source(
        sources.SqsEventSource(queue, batch_size=1, max_concurrency=10, report_batch_item_failures=True)
    )
    return function


def _monitor(name: str, facade: monitoring.MonitoringFacade, parts: _Parts) -> None:
    """As many alarms as cdk-monitoring-constructs has for what the other app watches."""
    one = monitoring.ErrorCountThreshold(max_error_count=1)
    full = monitoring.MaxMessageCountThreshold(max_message_count=1)
    facade.monitor_api_gateway(
        api=parts.api,
        alarm_friendly_name=f"{name}Api",
        add4_xx_error_count_alarm={"Warning": monitoring.ErrorCountThreshold(max_error_count=100)},
        add5_xx_fault_count_alarm={"Critical": one},
        add_latency_p99_alarm={"Warning": monitoring.LatencyThreshold(max_latency=Duration.seconds(1))},
        add_high_tps_alarm={"Warning": monitoring.HighTpsThreshold(max_tps=80)},
    )
    facade.monitor_custom(
        alarm_friendly_name=f"{name}Rule",
        human_readable_name=f"{name} rule",
        metric_groups=[
            monitoring.CustomMetricGroup(title="Deliveries", metrics=_rule_metrics(name, parts.rule))
        ],
    )
    facade.monitor_sqs_queue(
        queue=parts.undelivered,
        alarm_friendly_name=f"{name}Undelivered",
        add_queue_max_size_alarm={"Critical": full},
    )
    facade.monitor_sqs_queue_with_dlq(
        queue=parts.queue,
        dead_letter_queue=parts.dead_letters,
        alarm_friendly_name=f"{name}Queue",
        add_queue_max_message_age_alarm={
            "Critical": monitoring.MaxMessageAgeThreshold(max_age_in_seconds=900)
        },
        add_dead_letter_queue_max_size_alarm={"Critical": full},
        add_dead_letter_queue_max_incoming_messages_alarm={
            "Critical": monitoring.MaxIncomingMessagesCountThreshold(max_incoming_messages_count=1)
        },
    )
    slow = monitoring.LatencyThreshold(max_latency=Duration.seconds(24))
    busy = monitoring.RunningTaskCountThreshold(max_running_tasks=10)
    facade.monitor_lambda_function(
        lambda_function=parts.function,
        alarm_friendly_name=f"{name}Function",
        add_fault_count_alarm={"Critical": one},
        add_throttles_count_alarm={"Warning": one},
        add_max_latency_alarm={"Warning": slow},
        add_concurrent_executions_count_alarm={"Warning": busy},
    )


def _rule_metrics(name: str, rule: events.Rule) -> list[monitoring.CustomMetricWithAlarm]:
    return [
        monitoring.CustomMetricWithAlarm(
            alarm_friendly_name=f"{name}{metric}",
            metric=cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name=metric,
                dimensions_map={"RuleName": rule.rule_name},
                statistic="Sum",
            ),
            add_alarm={
                "Critical": monitoring.CustomThreshold(
                    threshold=1,
                    comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                )
            },
        )
        for metric in ("FailedInvocations", "InvocationsSentToDlq", "ThrottledRules")
    ]
