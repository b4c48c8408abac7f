"""What an API refuses before anything is deployed."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from hypothesis import example, given
from hypothesis import strategies as st

from resilient_constructs import Authorization, EventStore, QueueStore, Route, StorageFirstApi, Throttle
from resilient_constructs.storage_first_api.schema import schema_faults

ANY: dict[str, Any] = {}
KEYED = {"type": "object", "required": ["customer"]}


@pytest.fixture
def store(stack: Stack) -> EventStore:
    """An event store that is in order."""
    return EventStore(bus=events.EventBus(stack, "Bus"), source="shop", detail_type="Placed")


def refusal(stack: Stack, *routes: Any, **change: Any) -> str:
    """What an API says that is refused."""
    with pytest.raises(ValueError, match="StorageFirstApi 'Api'") as refused:
        StorageFirstApi(stack, "Api", routes=list(routes), **change)
    return str(refused.value)


@pytest.mark.parametrize(
    "path", ["orders", "", "//", "/orders/", "/a b", "/{id}", "/a/{proxy+}", "/ü", None, 7]
)
def test_path(stack: Stack, store: EventStore, path: Any) -> None:
    """A path that API Gateway does not take, or whose parameters would be lost, is refused."""
    told = refusal(stack, Route.post(path, schema=ANY, store=store))
    assert "path is" in told
    assert "https://docs.aws.amazon.com/apigateway/" in told


def test_method(stack: Stack, store: EventStore) -> None:
    """A method whose requests have no body is refused."""
    assert "POST, PUT, PATCH" in refusal(stack, Route(method="GET", path="/", schema=ANY, store=store))


def test_no_routes(stack: Stack) -> None:
    """An API without routes is refused."""
    assert "at least one Route" in refusal(stack)


def test_something_else_than_a_route(stack: Stack) -> None:
    """What is no Route is refused."""
    assert "Route objects" in refusal(stack, "/orders")


def test_same_method_and_path_twice(stack: Stack, store: EventStore) -> None:
    """Two routes for one method and path are refused."""
    route = Route.post("/orders", schema=ANY, store=store)
    assert "each method and path once" in refusal(stack, route, route)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), True, "50"])
def test_throttle_rate(stack: Stack, store: EventStore, rate: Any) -> None:
    """A throttle that lets nothing in, or is no number, is refused."""
    route = Route.post("/", schema=ANY, store=store)
    assert "requests_per_second is" in refusal(
        stack, route, throttle=Throttle(requests_per_second=rate, burst=1)
    )


@pytest.mark.parametrize("burst", [0, -1, 1.5])
def test_throttle_burst(stack: Stack, store: EventStore, burst: Any) -> None:
    """A route's burst is a whole number above zero."""
    throttle = Throttle(requests_per_second=1, burst=burst)
    assert "burst is" in refusal(stack, Route.post("/", schema=ANY, store=store, throttle=throttle))


@pytest.mark.parametrize("thing", ["orders", None, 3, {}])
def test_store(stack: Stack, thing: Any) -> None:
    """A store is a queue, a queue store or an event store."""
    assert "an IQueue, a QueueStore or an EventStore" in refusal(
        stack, Route.post("/", schema=ANY, store=thing)
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [("aws.s3", "not begin with 'aws.'"), ("", "1 to 256"), ("x" * 257, "1 to 256"), ("a$b", "without $")],
)  # fmt: skip
def test_source(stack: Stack, store: EventStore, source: str, told: str) -> None:
    """A source that is AWS's own, of the wrong length, or would be read as Velocity is refused."""
    wrong = EventStore(bus=store.bus, source=source, detail_type="Placed")
    assert told in refusal(stack, Route.post("/", schema=ANY, store=wrong))


@pytest.mark.parametrize("detail_type", ["", "x" * 129, "#set", "a\nb"])
def test_detail_type(stack: Stack, store: EventStore, detail_type: str) -> None:
    """A detail type of the wrong length, or that would be read as Velocity, is refused."""
    wrong = EventStore(bus=store.bus, source="shop", detail_type=detail_type)
    assert "detail_type is" in refusal(stack, Route.post("/", schema=ANY, store=wrong))


def test_fifo_queue_without_group(stack: Stack) -> None:
    """A FIFO queue needs to know what to order by."""
    told = refusal(stack, Route.post("/", schema=ANY, store=sqs.Queue(stack, "Q", fifo=True)))
    assert "message_group is None" in told


def test_deduplication_without_fifo(stack: Stack) -> None:
    """Deduplication on a standard queue is refused, because SQS refuses it for each message."""
    wrong = QueueStore(queue=sqs.Queue(stack, "Q"), deduplicate_by="customer")
    assert "no FIFO queue" in refusal(stack, Route.post("/", schema=KEYED, store=wrong))


@pytest.mark.parametrize(
    ("group", "told"), [("order", "lists as required"), ("a.b", "top-level"), ("$x", "top-level")]
)
def test_message_group(stack: Stack, group: str, told: str) -> None:
    """The message group is a plain property that every accepted body has."""
    wrong = QueueStore(queue=sqs.Queue(stack, "Q", fifo=True), message_group=group)
    assert told in refusal(stack, Route.post("/", schema=KEYED, store=wrong))


@pytest.mark.parametrize("stage_name", ["", "a/b", "x" * 129, "ü"])
def test_stage_name(stack: Stack, store: EventStore, stage_name: str) -> None:
    """A stage name that API Gateway does not take is refused."""
    told = refusal(stack, Route.post("/", schema=ANY, store=store), stage_name=stage_name)
    assert "stage_name is" in told


@pytest.mark.parametrize("wrong", [Duration.minutes(61), Duration.millis(1500)])
def test_a_decision_holds_an_hour_at_most(stack: Stack, store: EventStore, wrong: Duration) -> None:
    """A function's decision is remembered for whole seconds, and no longer than an hour."""
    decide = lambda_.Function.from_function_arn(stack, "Decide", "arn:aws:lambda:us-east-1:1:function:decide")
    told = refusal(
        stack,
        Route.post("/", schema=ANY, store=store),
        authorization=Authorization.function(decide, remembered_for=wrong),
    )
    assert "authorization.remembered_for is" in told
    assert "0 to 3,600 seconds" in told


def test_all_faults_at_once(stack: Stack, store: EventStore) -> None:
    """Everything that is wrong is told in one error, each with its route."""
    told = refusal(
        stack,
        Route.post("orders", schema={"type": "objekt"}, store=store),
        Route.put("/x", schema={"required": "a"}, store=store),
        throttle=Throttle(requests_per_second=0, burst=0),
    )
    assert "has 5 faults" in told
    for part in (
        "route POST orders: path",
        "route POST orders: schema.type",
        "route PUT /x: schema.required",
    ):
        assert part in told


WRONG: list[Any] = [
    [], None, "object", 7,
    {"type": "objekt"}, {"type": ["string", "string"]}, {"type": []}, {"type": 1},
    {"required": []}, {"required": ["a", "a"]}, {"required": True}, {"required": "a"},
    {"properties": []}, {"properties": {"a": 1}}, {"properties": {"a": {"type": "x"}}},
    {"items": 3}, {"items": []}, {"additionalProperties": "no"}, {"enum": []}, {"enum": "a"},
    {"minLength": -1}, {"maxItems": 1.5}, {"minimum": "1"}, {"multipleOf": 0}, {"uniqueItems": 1},
    {"pattern": "("}, {"pattern": 1}, {"allOf": []}, {"anyOf": {}}, {"not": []},
    {"dependencies": {"a": []}}, {"exclusiveMinimum": 3}, {"exclusiveMinimum": True},
    {"definitions": {"a": {"type": 3}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", WRONG, ids=repr)
def test_no_schema_is_refused(schema: Any) -> None:
    """What the draft-4 meta-schema refuses is a fault here too."""
    assert schema_faults(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"const": 1}, {"if": {}, "then": {}}, {"$defs": {}}, {"properties": {"a": {"contains": {}}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$ref": "#/definitions/none"}, {"$ref": "other.json"}, {"$ref": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_what_api_gateway_would_ignore_is_refused(schema: Any) -> None:
    """A keyword of a later draft, or a reference that leads nowhere, is a fault and not a silence."""
    assert schema_faults(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {}, {"$schema": "http://json-schema.org/draft-04/schema#", "type": ["object", "null"]},
        {"definitions": {"a/b": {"type": "string"}}, "properties": {"x": {"$ref": "#/definitions/a~1b"}}},
        {"items": [{}, {"type": "null"}], "additionalItems": False}, {"$ref": "#"},
        {"minimum": 0, "exclusiveMinimum": True, "multipleOf": 0.1}, {"pattern": r"^\p{L}+$"},
        {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, {"x-note": "ours", "format": "date-time"},
        {"properties": {"const": {"type": "string"}, "if": {}}, "enum": [None, 0, False, 1, True]},
        {"allOf": [{"not": {"type": "string"}}], "patternProperties": {"^x": {}}, "title": "t"},
    ],
    ids=repr,
)  # fmt: skip
def test_draft_4_schema_passes(schema: Any) -> None:
    """A schema that draft 4 knows is no fault, whatever its properties are called."""
    assert schema_faults(schema) == []
    # the formats are left out: Python knows no \p
    jsonschema.Draft4Validator.check_schema(schema, format_checker=None)


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["object", "string", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(jsonschema.Draft4Validator.META_SCHEMA["properties"])), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@example({"enum": [None, None]})
@example({"exclusiveMaximum": False})
@example({"enum": [[1], [1.0]]})
@given(junk)
def test_nothing_that_the_meta_schema_refuses_gets_through(schema: Any) -> None:
    """The structural check is never laxer than draft 4's own meta-schema, and never fails on its input."""
    faults = schema_faults(schema)
    if not jsonschema.Draft4Validator(jsonschema.Draft4Validator.META_SCHEMA).is_valid(schema):
        assert faults
