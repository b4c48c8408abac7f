"""The one contract between infrastructure and Lambda: what the construct writes, the entry point reads.

Every field has one environment variable, so that a CDK token (a queue URL that CloudFormation fills in)
stands alone in its value. ``Settings.to_env`` and ``Settings.from_env`` round-trip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["METRICS_NAMESPACE", "DownstreamSettings", "Mode", "Settings"]

METRICS_NAMESPACE = "ResilientConstructs"

Mode = Literal["event", "messages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DownstreamSettings:
    """What one function knows of a downstream that it calls.

    :param name: the name the handler calls it by in ``call.downstream(name)``
    :param requests_per_second: what it takes from all callers together; None when it has no such limit
    :param burst: how many calls it takes at once on top
    :param max_concurrency: how many environments of this function may call it at once
    """

    name: str
    requests_per_second: float | None = None
    burst: float | None = None
    max_concurrency: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the universal entry point treats the user's handler.

    :param handler: ``module.function`` of the user's code
    :param mode: ``event`` calls it once per invocation with (event, context); ``messages`` once per message
        of an SQS batch with (body, call)
    :param service: how logs and metrics call this function
    :param dead_letter_queue_url: where a rejected message goes; required in mode ``messages``
    :param downstreams: the boundaries that the handler may cross
    """

    handler: str
    mode: Mode = "event"
    service: str = "service"
    dead_letter_queue_url: str | None = None
    downstreams: tuple[DownstreamSettings, ...] = ()

    def to_env(self) -> dict[str, str]:
        """The environment variables that carry these settings."""
        env = {
            "RESILIENT_HANDLER": self.handler,
            "RESILIENT_MODE": self.mode,
            "RESILIENT_SERVICE": self.service,
        }
        if self.dead_letter_queue_url is not None:
            env["RESILIENT_DEAD_LETTER_QUEUE_URL"] = self.dead_letter_queue_url
        if self.downstreams:
            env["RESILIENT_DOWNSTREAMS"] = json.dumps(
                [{k: v for k, v in asdict(d).items() if v is not None} for d in self.downstreams],
                separators=(",", ":"),
            )
        return env

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings back.

        :raises ValueError: when ``RESILIENT_HANDLER`` is missing or the mode is unknown
        """
        handler = env.get("RESILIENT_HANDLER")
        if not handler:
            raise ValueError(
                "RESILIENT_HANDLER is not set: the entry point does not know which handler to call"
            )
        mode = env.get("RESILIENT_MODE", "event")
        if mode not in ("event", "messages"):
            raise ValueError(f"RESILIENT_MODE is {mode!r}; allowed: 'event' or 'messages'")
        return cls(
            handler=handler,
            mode="messages" if mode == "messages" else "event",
            service=env.get("RESILIENT_SERVICE", "service"),
            dead_letter_queue_url=env.get("RESILIENT_DEAD_LETTER_QUEUE_URL"),
            downstreams=tuple(
                DownstreamSettings(**d) for d in json.loads(env.get("RESILIENT_DOWNSTREAMS", "[]"))
            ),
        )
