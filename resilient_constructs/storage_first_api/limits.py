"""Defaults and limits of a storage-first API, each with the AWS page that states it."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ACCOUNT_REQUESTS_PER_SECOND",
    "AUTHORIZER_TTL",
    "BURST",
    "DETAIL_TYPE_LENGTH",
    "FIFO_PAGE",
    "METHOD_PAGE",
    "MODEL_PAGE",
    "PATH_PAGE",
    "PUT_EVENTS_PAGE",
    "REQUESTS_PER_SECOND",
    "RETRY_AFTER_QUOTA_SECONDS",
    "RETRY_AFTER_SECONDS",
    "SOURCE_LENGTH",
    "STAGE_PAGE",
    "THROTTLE_WATERMARK",
]

_GUIDE = "https://docs.aws.amazon.com/apigateway/latest/developerguide"
_THROTTLING_PAGE = f"{_GUIDE}/api-gateway-request-throttling.html"

MODEL_PAGE = f"{_GUIDE}/models-mappings-models.html"
METHOD_PAGE = f"{_GUIDE}/how-to-method-settings.html"
PATH_PAGE = "https://docs.aws.amazon.com/apigateway/latest/api/API_CreateResource.html"
STAGE_PAGE = "https://docs.aws.amazon.com/apigateway/latest/api/API_CreateStage.html"
PUT_EVENTS_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html"
FIFO_PAGE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"

REQUESTS_PER_SECOND = Limit(
    prop="requests_per_second",
    low=0.01,
    high=None,
    unit="requests per second",
    page=_THROTTLING_PAGE,
    default=100,
    whole=False,
)
BURST = Limit(prop="burst", low=1, high=None, unit="requests", page=_THROTTLING_PAGE, default=200)

AUTHORIZER_TTL = Limit(
    prop="authorization.remembered_for",
    low=0,
    high=3600,
    unit="seconds",
    page="https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html",
    default=300,
)

# A soft quota of an account in a region, shared by all its APIs; some newer regions start with a quarter.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
ACCOUNT_REQUESTS_PER_SECOND = 10_000

SOURCE_LENGTH = Limit(prop="source", low=1, high=256, unit="characters", page=PUT_EVENTS_PAGE)
DETAIL_TYPE_LENGTH = Limit(prop="detail_type", low=1, high=128, unit="characters", page=PUT_EVENTS_PAGE)

# A token bucket has a token again within a second at any rate of one per second and more.
RETRY_AFTER_SECONDS = 1
# A usage plan's quota is per day, week or month; trying every second would only cost money.
RETRY_AFTER_QUOTA_SECONDS = 3600

# At this share of the throttle somebody should think about it; at all of it clients are turned away.
THROTTLE_WATERMARK = 0.8
