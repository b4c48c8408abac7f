"""How many round trips to Node a piece of code makes: the price of a construct at synth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JsiiCount", "count_jsii"]


@dataclass(slots=True)
class JsiiCount:
    """What was counted.

    :param by_kind: requests by their kind: ``CreateRequest``, ``GetRequest``, ``InvokeRequest`` …
    :param by_target: requests by what they asked for: ``get queueArn``, ``invoke addToPolicy`` …
    """

    by_kind: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """All requests, callbacks' answers included."""
        return self.by_kind.total()


@contextmanager
def count_jsii() -> Iterator[JsiiCount]:
    """Count the requests that Python sends to the CDK's Node process while the block runs.

    ``with count_jsii() as requests: …`` and then ``requests.count``. Work of other threads is counted too.
    """
    from jsii._kernel.providers.process import _NodeProcess

    counted = JsiiCount()
    send = _NodeProcess.send

    def counting_send(process: Any, request: Any, response_type: Any) -> Any:
        kind = type(request).__name__
        counted.by_kind[kind] += 1
        counted.by_target[f"{kind.removesuffix('Request').lower()} {_target(request)}"] += 1
        return send(process, request, response_type)

    _NodeProcess.send = counting_send  # type: ignore[assignment,method-assign]
    try:
        yield counted
    finally:
        _NodeProcess.send = send  # type: ignore[method-assign]


def _target(request: Any) -> str:
    for name in ("method", "property", "fqn"):
        value = getattr(request, name, None)
        if value is not None:
            return str(value)
    return ""
