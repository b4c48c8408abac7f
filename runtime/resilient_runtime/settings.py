"""The one contract between infrastructure and Lambda: what the construct writes, the entry point reads.

Every field has one environment variable, so that a CDK token (a queue URL that CloudFormation fills in)
stands alone in its value. ``Settings.to_env`` and ``Settings.from_env`` round-trip.

Named tuples, not dataclasses: those import ``inspect`` and ``ast``, 15 ms of every cold start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

__all__ = [
    "METRICS_NAMESPACE",
    "ConfigurationEntry",
    "DownstreamSettings",
    "EvictionSettings",
    "HealthSettings",
    "IdempotencySettings",
    "Mode",
    "RedactionSettings",
    "Settings",
    "StreamSettings",
]

METRICS_NAMESPACE = "ResilientConstructs"

Mode = Literal["event", "messages", "records"]


class DownstreamSettings(NamedTuple):
    """What one function knows of a downstream that it calls.

    :param name: the name the handler calls it by in ``call.downstream(name)``
    :param requests_per_second: what it takes from all callers together; None when it has no such limit
    :param burst: how many calls it takes at once on top
    :param max_concurrency: how many environments may call it at once, of all its callers together: each of
        them keeps to its part of the rate. None does not pace
    :param breaker: what ``BreakerPolicy.to_settings`` gives: JSON, what is as by default left out. None has
        no breaker; an empty one has the default policy
    """

    name: str
    requests_per_second: float | None = None
    burst: float | None = None
    max_concurrency: int | None = None
    breaker: Mapping[str, Any] | None = None

    @property
    def is_paced(self) -> bool:
        """Whether each environment keeps to its part of the rate."""
        return bool(self.requests_per_second and self.max_concurrency)

    @property
    def may_refuse(self) -> bool:
        """Whether a call may be refused before it is made: a circuit is open, or its turn too far off."""
        return self.is_paced or self.breaker is not None


class HealthSettings(NamedTuple):
    """When an execution environment counts as degraded, and how far its cure may go.

    A share is of the headroom: what lies between a fresh environment's use and Lambda's limit. So a function
    that needs 100 of its 128 MB from the start is not forever sick.

    :param threshold: the share of the headroom, 0 to 1, from which the environment is cured
    :param reexec: whether it may re-execute the interpreter between two invocations
    :param exit: whether it may exit at the start of an invocation that its source repeats
    :param retried: whether the source repeats an invocation that ends like that (SQS, streams, asynchronous)
    :param update_function: whether it may change a variable of its own function, which replaces all
        environments; needs ``lambda:UpdateFunctionConfiguration`` on itself
    :param allocations: whether allocations are traced, so that a memory leak is told by its line
    """

    threshold: float = 0.5
    reexec: bool = True
    exit: bool = True
    retried: bool = False
    update_function: bool = False
    allocations: bool = False


class RedactionSettings(NamedTuple):
    """What is hidden of an event in a FAILED record, besides what is hidden always.

    :param keys: names of members whose value is hidden wherever they stand, compared without case, ``-``
        and ``_``
    :param paths: places such as ``$.customer.address`` or ``$.items[*].note``
    :param patterns: regular expressions; what they match in any text is hidden
    """

    keys: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class ConfigurationEntry(NamedTuple):
    """One value that is loaded when an environment starts and refreshed before it expires.

    :param name: how the handler asks for it
    :param kind: a parameter of SSM's Parameter Store, or a secret of Secrets Manager
    :param source: the parameter's name or ARN, or the secret's name or ARN
    :param form: what the text is read as
    :param expires_after: seconds after which a value is old; it is refreshed before
    """

    name: str
    kind: Literal["parameter", "secret"]
    source: str
    form: Literal["text", "json", "int", "float", "bool"] = "text"
    expires_after: float = 300


class IdempotencySettings(NamedTuple):
    """Where it is remembered which messages are done.

    :param table_name: a DynamoDB table with the partition key ``id`` and the time-to-live ``expiration``
    :param expires_after: seconds that a finished message is remembered
    """

    table_name: str
    expires_after: float = 3600


class EvictionSettings(NamedTuple):
    """From which age a message is not worth doing any more, and where it is kept then.

    :param after: seconds since it was sent
    :param bucket: the S3 bucket that keeps it
    :param prefix: what its key begins with, the slash at the end included
    """

    after: float
    bucket: str
    prefix: str = ""


class StreamSettings(NamedTuple):
    """How the records of a stream are handled.

    :param poison_queue_url: where poison records are kept
    :param poison_bucket: where those are that a message cannot hold
    :param poison_prefix: what their keys begin with, the slash at the end included
    :param per_batch: whether the handler takes all records of a batch at once
    :param parked_table: the DynamoDB table in which all environments share which keys wait until a poison
        record of theirs is resolved; None lets them go on
    """

    poison_queue_url: str
    poison_bucket: str
    per_batch: bool = False
    parked_table: str | None = None
    poison_prefix: str = ""


class Settings(NamedTuple):
    """How the universal entry point treats the user's handler.

    :param handler: ``module.function`` of the user's code
    :param mode: ``event`` calls it once per invocation with (event, context); ``messages`` once per message
        of an SQS batch with (body, call); ``records`` once per record of a stream's batch with (data, call)
    :param service: how logs and metrics call this function
    :param dead_letter_queue_url: where a rejected message goes; required in mode ``messages``
    :param max_receive_count: how many times its queue gives a message out before SQS moves it there; one that
        fails in the last of them is stored with its reason. None where nobody knows
    :param downstreams: the boundaries that the handler may cross
    :param deadline_margin: seconds before Lambda's timeout at which the handler is interrupted; 0 never
        interrupts it; None takes one second or a tenth of the timeout, whichever is smaller, and at least 0.2
    :param health: when the environment is cured, and how
    :param redaction: what is hidden of an event in a FAILED record
    :param configuration: the values to load
    :param idempotency: where it is remembered which messages are done; None remembers nothing
    :param circuits_table: the DynamoDB table in which all environments share their breakers' circuits;
        required when a downstream has a breaker
    :param urgent_queue_arn: in mode ``messages``, the queue whose messages came by the urgent lane; None
        where there is one lane only
    :param eviction: in mode ``messages``, from which age a message is archived instead of done; None evicts
        nothing
    :param stream: where a stream's poison is kept; required in mode ``records``
    """

    handler: str
    mode: Mode = "event"
    service: str = "service"
    dead_letter_queue_url: str | None = None
    downstreams: tuple[DownstreamSettings, ...] = ()
    deadline_margin: float | None = None
    health: HealthSettings = HealthSettings()
    redaction: RedactionSettings = RedactionSettings()
    configuration: tuple[ConfigurationEntry, ...] = ()
    idempotency: IdempotencySettings | None = None
    circuits_table: str | None = None
    urgent_queue_arn: str | None = None
    eviction: EvictionSettings | None = None
    stream: StreamSettings | None = None
    max_receive_count: int | None = None

    def to_env(self) -> dict[str, str]:
        """The environment variables that carry these settings; what is as by default is left out."""
        env = {
            "RESILIENT_HANDLER": self.handler,
            "RESILIENT_MODE": self.mode,
            "RESILIENT_SERVICE": self.service,
        }
        if self.dead_letter_queue_url is not None:
            env["RESILIENT_DEAD_LETTER_QUEUE_URL"] = self.dead_letter_queue_url
        if self.max_receive_count is not None:
            env["RESILIENT_MAX_RECEIVE_COUNT"] = str(self.max_receive_count)
        if self.circuits_table is not None:
            env["RESILIENT_CIRCUITS_TABLE"] = self.circuits_table
        if self.urgent_queue_arn is not None:
            env["RESILIENT_URGENT_QUEUE_ARN"] = self.urgent_queue_arn
        if self.deadline_margin is not None:
            env["RESILIENT_DEADLINE_MARGIN"] = repr(self.deadline_margin)
        for variable, value in (
            ("RESILIENT_DOWNSTREAMS", [_changed(one) for one in self.downstreams]),
            ("RESILIENT_HEALTH", _changed(self.health)),
            ("RESILIENT_REDACTION", _changed(self.redaction)),
            ("RESILIENT_CONFIGURATION", [_changed(one) for one in self.configuration]),
            ("RESILIENT_IDEMPOTENCY", None if self.idempotency is None else _changed(self.idempotency)),
            ("RESILIENT_EVICTION", None if self.eviction is None else _changed(self.eviction)),
            ("RESILIENT_STREAM", None if self.stream is None else _changed(self.stream)),
        ):
            if value:
                env[variable] = json.dumps(value, separators=(",", ":"))
        return env

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings back.

        :raises ValueError: when ``RESILIENT_HANDLER`` is missing, the mode is unknown, or a variable does not
            hold what ``to_env`` writes
        """
        handler = env.get("RESILIENT_HANDLER")
        if not handler:
            raise ValueError(
                "RESILIENT_HANDLER is not set: the entry point does not know which handler to call"
            )
        mode = env.get("RESILIENT_MODE", "event")
        if mode not in ("event", "messages", "records"):
            raise ValueError(f"RESILIENT_MODE is {mode!r}; allowed: 'event', 'messages' or 'records'")
        margin = env.get("RESILIENT_DEADLINE_MARGIN")
        receives = env.get("RESILIENT_MAX_RECEIVE_COUNT")
        redaction = _read(env, "RESILIENT_REDACTION", {})
        idempotency = _read(env, "RESILIENT_IDEMPOTENCY", None)
        eviction = _read(env, "RESILIENT_EVICTION", None)
        stream = _read(env, "RESILIENT_STREAM", None)
        return cls(
            handler=handler,
            mode=cast("Mode", mode),
            service=env.get("RESILIENT_SERVICE", "service"),
            dead_letter_queue_url=env.get("RESILIENT_DEAD_LETTER_QUEUE_URL"),
            downstreams=tuple(_downstream(one) for one in _read(env, "RESILIENT_DOWNSTREAMS", [])),
            deadline_margin=None if margin is None else float(margin),
            health=HealthSettings(**_read(env, "RESILIENT_HEALTH", {})),
            redaction=RedactionSettings(**{name: tuple(value) for name, value in redaction.items()}),
            configuration=tuple(
                ConfigurationEntry(**one) for one in _read(env, "RESILIENT_CONFIGURATION", [])
            ),
            idempotency=None if idempotency is None else IdempotencySettings(**idempotency),
            circuits_table=env.get("RESILIENT_CIRCUITS_TABLE"),
            urgent_queue_arn=env.get("RESILIENT_URGENT_QUEUE_ARN"),
            eviction=None if eviction is None else EvictionSettings(**eviction),
            stream=None if stream is None else StreamSettings(**stream),
            max_receive_count=int(receives) if receives else None,
        )


def _downstream(told: Mapping[str, Any]) -> DownstreamSettings:
    # As text where it was added up over all callers: that sum stands in a token until the app is whole.
    callers = told.get("max_concurrency")
    return DownstreamSettings(**told)._replace(max_concurrency=None if callers is None else int(callers))


def _read(env: Mapping[str, str], variable: str, otherwise: Any) -> Any:
    text = env.get(variable)
    if not text:
        return otherwise
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{variable} holds no JSON: {error}; deploy the function again") from error


def _changed(settings: Any) -> dict[str, Any]:
    """What differs from the defaults: a function's variables share 4 KB."""
    defaults = settings._field_defaults
    return {
        name: value
        for name, value in settings._asdict().items()
        if name not in defaults or value != defaults[name]
    }
