"""Orders come in at the customers' pace and go out at the courier's: the scalability boundary, held.

    POST /orders → storage-first API → bus → queue → flow-controlled consumer → the courier's slow API

The courier takes ten calls a second and fails one in five. The API answers 202 once the bus has stored an
order; from then on it is this stack's duty that the order arrives, or stands in a dead-letter queue with its
reason. While the courier is down its circuit is open: the queue keeps the orders, and a call now and then
finds out whether it is back.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, CfnOutput, Duration, Stack, Validations
from constructs import Construct

from resilient_constructs import (
    Authorization,
    BreakerPolicy,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    OnCall,
    Route,
    StorageFirstApi,
    Throttle,
)
from resilient_constructs.nag import acknowledge

HANDLERS = Path(__file__).parent / "handlers"

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "minLength": 1, "maxLength": 64},
        "address": {"type": "string", "minLength": 1, "maxLength": 256},
        "parcels": {"type": "integer", "minimum": 1, "maximum": 20},
    },
    "required": ["order_id", "address"],
}


class CourierStack(Stack):
    """The reference workload: an API, a bus, a consumer and a courier that can't keep up.

    :param courier_url: where the courier takes orders
    :param courier_latency: how long a call to the courier takes on average. Default: 5 seconds
    :param courier_timeout: how long a call is waited for. Default: 12 seconds, since the courier may take 10
    :param recovery_time: how long the courier is left alone after it was found to be down. Default: 15
        seconds, twice as long after each call that finds it still down
    :param max_receive_count: how often an order is tried before it is dead-lettered. Default: 10. One that
        failed comes back after seconds, and an outage costs it one or two: then its queue is paused
    :param cloud_watch_role: whether this stack sets the account's role for API Gateway's logs. Default: no
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        courier_url: str = "https://courier.example.com/deliveries",
        courier_latency: Duration | None = None,
        courier_timeout: Duration | None = None,
        recovery_time: Duration | None = None,
        max_receive_count: int = 10,
        cloud_watch_role: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        recovery = recovery_time or Duration.seconds(15)
        patience = (courier_timeout or Duration.seconds(12)).to_milliseconds() / 1000

        on_call = OnCall(self, "OnCall", email="ops@example.com")
        courier = Downstream(
            self,
            "Courier",
            requests_per_second=10,
            burst=10,
            typical_latency=courier_latency or Duration.seconds(5),
            breaker=BreakerPolicy(
                recovery_time=recovery,
                # Two calls a minute into an outage, and half a minute to notice its end.
                longest_recovery_time=Duration.millis(2 * recovery.to_milliseconds()),
                # One call in five fails on the best of days: three good ones in a row would be luck.
                successes_to_close=2,
            ),
            on_call=on_call,
        )

        turn = 0.0 if courier.plan is None else courier.plan.interval

        orders = FanOutBus(self, "Orders", archive_for=Duration.days(30), on_call=on_call)
        api = StorageFirstApi(
            self,
            "Api",
            on_call=on_call,
            # Open to everybody: the demonstration has no accounts. The default asks for IAM signatures.
            authorization=Authorization.NONE,
            cloud_watch_role=cloud_watch_role,
            throttle=Throttle(requests_per_second=50, burst=100),
            routes=[
                Route.post(
                    "/orders", schema=ORDER, store=orders.events(source="shop", detail_type="OrderPlaced")
                )
            ],
        )

        delivery = FlowControlledConsumer(
            self,
            "Delivery",
            downstream=courier,
            on_call=on_call,
            handler=Handler.from_directory(str(HANDLERS / "delivery"), "delivery.deliver"),
            # The wait for a turn, the call, and two seconds to tell what came of it.
            timeout=Duration.seconds(math.ceil(turn + patience) + 2),
            max_receive_count=max_receive_count,
            environment={"COURIER_URL": courier_url, "COURIER_TIMEOUT_SECONDS": str(patience)},
        )
        orders.subscribe("Delivery", delivery, detail_type=["OrderPlaced"])

        CfnOutput(self, "ApiUrl", value=api.url, description="Post orders to /orders below it")

        # What cdk-nag's six packs find: by design of the constructs, and by decision of this example.
        acknowledge(on_call, orders, api, delivery, courier)
        _acknowledge_open_door(api)


def _acknowledge_open_door(api: StorageFirstApi) -> None:
    public = "The demonstration has no accounts, so its one route is open to everybody; it is throttled."
    unfiltered = (
        "A web ACL costs five dollars a month and more for each rule; the demonstration's API is throttled, "
        "checks every body against a schema and is deleted after an hour. Give yours one."
    )
    for method in api.methods:
        Validations.of(method).acknowledge(
            *(Acknowledgment(id=f"AwsSolutions-{rule}", reason=public) for rule in ("APIG4", "COG4"))
        )
    packs = ("NIST.800.53.R5-APIGWAssociatedWithWAF", "PCI.DSS.321-APIGWAssociatedWithWAF")
    Validations.of(api.stage).acknowledge(
        *(Acknowledgment(id=rule, reason=unfiltered) for rule in ("AwsSolutions-APIG3", *packs))
    )
