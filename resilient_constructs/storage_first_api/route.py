"""What an API accepts, how much of it, and where it is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resilient_constructs.limits import Faults
from resilient_constructs.stores import EventStore, QueueStore
from resilient_constructs.tokens import is_token

from .limits import (
    BURST,
    DETAIL_TYPE_LENGTH,
    FIFO_PAGE,
    METHOD_PAGE,
    MODEL_PAGE,
    PATH_PAGE,
    PUT_EVENTS_PAGE,
    REQUESTS_PER_SECOND,
    SOURCE_LENGTH,
)
from .schema import schema_faults

if TYPE_CHECKING:
    from aws_cdk import aws_sqs as sqs

__all__ = ["DEFAULT_THROTTLE", "Route", "Throttle", "check_fifo", "check_routes"]

_METHODS = ("POST", "PUT", "PATCH")
_SEGMENT = re.compile(r"[A-Za-z0-9._:-]+")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# "$" and "#" would start something in a mapping template; the others have no place in a name either.
_NAME = re.compile(r"[^$#\\\"\x00-\x1f]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttle:
    """How many requests are let in; the others get 429 with ``Retry-After``.

    API Gateway does this as a token bucket, per region and on a best-effort basis.

    :param requests_per_second: how many tokens the bucket gains per second
    :param burst: how many tokens the bucket holds
    """

    requests_per_second: float
    burst: int

    def check(self, faults: Faults) -> None:
        """Note what is out of range."""
        faults.check(REQUESTS_PER_SECOND, self.requests_per_second)
        faults.check(BURST, self.burst)


DEFAULT_THROTTLE = Throttle(
    requests_per_second=REQUESTS_PER_SECOND.default or 0, burst=int(BURST.default or 0)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One method on one path, what its body must look like and where it is stored.

    Write ``post``, ``put`` or ``patch``. The body is all that is stored, so a path has no
    parameters: they would be lost.

    :param method: ``POST``, ``PUT`` or ``PATCH``
    :param path: the path, for example ``/orders`` or ``/v1/orders``
    :param schema: JSON schema (draft 4) of the body; what does not fit gets 400 and is not stored
    :param store: where the body goes: a queue, or an event store of a bus
    :param throttle: a limit of this route's own. Default: the API's
    """

    method: str
    path: str
    schema: Mapping[str, Any]
    store: EventStore | QueueStore | sqs.IQueue
    throttle: Throttle | None = None

    @classmethod
    def post(
        cls,
        path: str,
        *,
        schema: Mapping[str, Any],
        store: EventStore | QueueStore | sqs.IQueue,
        throttle: Throttle | None = None,
    ) -> Route:
        """``POST`` on a path; the parameters are those of the class."""
        return cls(method="POST", path=path, schema=schema, store=store, throttle=throttle)

    @classmethod
    def put(
        cls,
        path: str,
        *,
        schema: Mapping[str, Any],
        store: EventStore | QueueStore | sqs.IQueue,
        throttle: Throttle | None = None,
    ) -> Route:
        """``PUT`` on a path; the parameters are those of the class."""
        return cls(method="PUT", path=path, schema=schema, store=store, throttle=throttle)

    @classmethod
    def patch(
        cls,
        path: str,
        *,
        schema: Mapping[str, Any],
        store: EventStore | QueueStore | sqs.IQueue,
        throttle: Throttle | None = None,
    ) -> Route:
        """``PATCH`` on a path; the parameters are those of the class."""
        return cls(method="PATCH", path=path, schema=schema, store=store, throttle=throttle)

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts; none for the root."""
        return tuple(part for part in str(self.path).split("/") if part)

    @property
    def label(self) -> str:
        """How an error calls this route."""
        return f"{self.method} {self.path}"


def check_routes(routes: object, faults: Faults) -> None:
    """Note everything that is wrong with the routes, without a round trip to Node."""
    if not isinstance(routes, (list, tuple)) or not routes:
        faults.add("routes", routes, "a list of at least one Route", METHOD_PAGE)
        return
    seen: set[str] = set()
    for route in routes:
        if not isinstance(route, Route):
            faults.add("routes", route, "a list of Route objects, for example [Route.post(…)]", METHOD_PAGE)
            continue
        _check_route(route, faults)
        key = f"{route.method} /{'/'.join(route.segments)}"
        if key in seen:
            faults.add("routes", route.label, "each method and path once", METHOD_PAGE)
        seen.add(key)


def _check_route(route: Route, faults: Faults) -> None:
    of = f"route {route.label}: "
    if route.method not in _METHODS:
        faults.add(f"{of}method", route.method, f"one of {', '.join(_METHODS)}", METHOD_PAGE)
    _check_path(route.path, f"{of}path", faults)
    for where, value, allowed in schema_faults(route.schema):
        faults.add(f"{of}{where}", value, allowed, MODEL_PAGE)
    if route.throttle is not None:
        route.throttle.check(faults)
    if isinstance(route.store, EventStore):
        _check_event(route.store, of, faults)
    elif isinstance(route.store, QueueStore):
        _check_message(route.store, route.schema, of, faults)
    elif not hasattr(type(route.store), "queue_arn"):  # on the object it would be read, a round trip to Node
        faults.add(f"{of}store", route.store, "an IQueue, a QueueStore or an EventStore", METHOD_PAGE)


def _check_path(path: object, prop: str, faults: Faults) -> None:
    if path == "/":
        return
    if (
        not isinstance(path, str)
        or not path.startswith("/")
        or not all(_SEGMENT.fullmatch(part) for part in path[1:].split("/"))
    ):
        faults.add(
            prop,
            path,
            "slashes with letters, digits and . _ : - between; no parameters, as only the body is stored",
            PATH_PAGE,
        )


def _check_event(store: EventStore, of: str, faults: Faults) -> None:
    for prop, value, length in (
        ("source", store.source, SOURCE_LENGTH),
        ("detail_type", store.detail_type, DETAIL_TYPE_LENGTH),
    ):
        if is_token(value):
            continue
        if not length.allows(len(value)):
            faults.add(f"{of}{prop}", value, length.allowed, length.page)
        elif not _NAME.fullmatch(value):
            faults.add(f"{of}{prop}", value, 'text without $ # \\ " and control characters', PUT_EVENTS_PAGE)
    if store.source.startswith("aws."):
        faults.add(f"{of}source", store.source, "a source that does not begin with 'aws.'", PUT_EVENTS_PAGE)


def _check_message(store: QueueStore, schema: object, of: str, faults: Faults) -> None:
    required = schema.get("required") if isinstance(schema, Mapping) else None
    for prop, value in (("message_group", store.message_group), ("deduplicate_by", store.deduplicate_by)):
        if value is None:
            continue
        if not _PROPERTY.fullmatch(value):
            faults.add(f"{of}{prop}", value, "a top-level property: letters, digits and _", FIFO_PAGE)
        elif not isinstance(required, list) or value not in required:
            faults.add(f"{of}{prop}", value, "a property that the schema lists as required", FIFO_PAGE)


def check_fifo(route: Route, *, fifo: bool, faults: Faults) -> None:
    """Note what a queue's kind does not go with: a FIFO queue needs a group, another has no deduplication."""
    store = route.store
    group = store.message_group if isinstance(store, QueueStore) else None
    deduplicate_by = store.deduplicate_by if isinstance(store, QueueStore) else None
    of = f"route {route.label}: "
    if fifo and group is None:
        faults.add(
            f"{of}message_group",
            None,
            "the body property that orders a FIFO queue: store=QueueStore(queue=…, message_group=…)",
            FIFO_PAGE,
        )
    if not fifo and deduplicate_by is not None:
        faults.add(f"{of}deduplicate_by", deduplicate_by, "None: this queue is no FIFO queue", FIFO_PAGE)
