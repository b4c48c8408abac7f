"""What a storage-first API emits, what may wake someone, and why.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
"""

from __future__ import annotations

from resilient_constructs.monitoring import Comparison, Lane, Math, Metric, Panel, Section, Severity, Signal

from .limits import THROTTLE_WATERMARK

__all__ = ["api_metric", "api_section", "api_signals"]

_MINUTE = 60
# Below this many requests a minute a share says nothing: two typing errors out of four are no incident.
_ENOUGH_REQUESTS = 20
_REJECTED_PERCENT = 25
_SLOW_MILLISECONDS = 3_000


def api_metric(
    name: str, *, api_name: str, stage_name: str, statistic: str, label: str | None = None
) -> Metric:
    """A metric of the API's stage, one data point per minute."""
    return Metric(
        namespace="AWS/ApiGateway",
        name=name,
        dimensions={"ApiName": api_name, "Stage": stage_name},
        statistic=statistic,
        period=_MINUTE,
        label=label,
    )


def api_signals(*, api_name: str, stage_name: str, requests_per_second: float | None) -> tuple[Signal, ...]:
    """The API's signals.

    :param requests_per_second: the throttle; None where it is known only at deployment, and then there is no
        alarm on it
    """
    requests = api_metric(
        "Count", api_name=api_name, stage_name=stage_name, statistic="Sum", label="requests"
    )
    rejected = api_metric("4XXError", api_name=api_name, stage_name=stage_name, statistic="Sum")
    signals = [
        Signal(
            name="NotStored",
            title="Requests could not be stored",
            because="Clients got 5xx and were told to send again; nothing that was answered 202 is lost. "
            "Look for the integration's status in the access log: a missing grant and a deleted queue look "
            "like an outage of the storage.",
            metric=api_metric("5XXError", api_name=api_name, stage_name=stage_name, statistic="Sum"),
            threshold=1,
            periods=3,
            datapoints=2,
            severity=Severity.PAGE,
        ),
        Signal(
            name="Rejected",
            title=f"More than {_REJECTED_PERCENT} % of the requests are rejected at the door",
            because="Bodies that do not fit the schema, missing credentials or more requests than the "
            "throttle allows. The access log has the reason of each.",
            metric=Math(
                expression=f"IF(requests >= {_ENOUGH_REQUESTS}, 100 * rejected / requests, 0)",
                metrics={"requests": requests, "rejected": rejected},
                label="rejected requests in percent",
                period=_MINUTE,
            ),
            threshold=_REJECTED_PERCENT,
            comparison=Comparison.ABOVE,
            periods=5,
            datapoints=3,
            severity=Severity.TICKET,
        ),
        Signal(
            name="Slow",
            title=f"One request in a hundred takes over {_SLOW_MILLISECONDS / 1000:g} seconds",
            because="Storing takes milliseconds; when it does not, the storage or the region is in trouble, "
            "and clients that give up will send again.",
            metric=api_metric("Latency", api_name=api_name, stage_name=stage_name, statistic="p99"),
            threshold=_SLOW_MILLISECONDS,
            periods=5,
            datapoints=3,
            severity=Severity.TICKET,
        ),
    ]
    if requests_per_second is not None:
        share = f"{THROTTLE_WATERMARK:.0%}".replace("%", " %")
        signals.append(
            Signal(
                name="NearThrottle",
                title=f"Requests arrive at {share} of the throttle",
                because=f"Above {requests_per_second:g} requests a second clients get 429. Raise the "
                "throttle if what lies behind keeps up, or find out who calls so much.",
                metric=requests,
                threshold=round(THROTTLE_WATERMARK * requests_per_second * _MINUTE, 2),
                periods=3,
                datapoints=2,
                severity=Severity.TICKET,
            )
        )
    return tuple(signals)


def api_section(
    *, title: str, api_name: str, stage_name: str, requests_per_second: float | None, log_group: str
) -> Section:
    """What the API puts on its stack's dashboard."""

    def metric(name: str, statistic: str, label: str) -> Metric:
        return api_metric(name, api_name=api_name, stage_name=stage_name, statistic=statistic, label=label)

    return Section(
        title=title,
        lane=Lane.ENTRY,
        panels=(
            Panel(
                title="Requests per minute",
                left=(metric("Count", "Sum", "requests"),),
                threshold=None if requests_per_second is None else requests_per_second * _MINUTE,
            ),
            Panel(
                title="Turned away or not stored",
                left=(
                    metric("4XXError", "Sum", "rejected (4xx)"),
                    metric("5XXError", "Sum", "not stored (5xx)"),
                ),
            ),
            Panel(
                title="Latency in milliseconds",
                left=(
                    metric("Latency", "p50", "p50"),
                    metric("Latency", "p99", "p99"),
                    metric("IntegrationLatency", "p99", "storage p99"),
                ),
            ),
        ),
        log_groups=(log_group,),
    )
