"""Status records: one line of JSON per step, which is the log entry and the metric at once.

Every line is also a document in CloudWatch's embedded metric format, so that what the alarm counts and what
the log says can never differ, and nothing has to be called to publish a metric.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

Lines are put together by hand, not with Powertools' logger and metrics: those cost about 75 µs per invocation
and 100 µs per message (measured), these 5 to 10 µs, because all that never changes is written once per
environment. Powertools stays in the layer for whatever the handler itself wants to log.

No line has a ``level``: Lambda's log-level filter drops lines below its level, and a dropped line is a lost
metric. https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quote
from typing import TYPE_CHECKING, ParamSpec

from .call import Call, outcome_of
from .clock import SYSTEM_CLOCK, Clock
from .cutting import beginning, shortened
from .diagnostics import Diagnostics
from .settings import METRICS_NAMESPACE

if TYPE_CHECKING:
    from .deadline import Firing

__all__ = ["StatusLines", "Teller", "describe", "text_of"]

_P = ParamSpec("_P")

_LONGEST_TEXT = 4096
_UNSEARCHED = "[hidden: it could not be searched for secrets]"
# Looked at past the cut, so that a secret across it is known as one.
_BEYOND = 4096
_ENDS = ("Completed", "Failed", "Rejected")
# A metric that never had data makes metric math over it empty, and an alarm on what started and did not end
# silent, just where nothing ever completed. So each start counts none of each end. A fourth end comes with
# a breaker or a pace, and a metric costs money: without these, nothing that has begun is held.
_ENDS_WITH_HELD = (*_ENDS, "Held")
_COUNT = '{"Name":"%s","Unit":"Count"}'
_DURATION = '{"Name":"%s","Unit":"Milliseconds"}'


class StatusLines:
    """Writes the records of one execution environment; every method returns one line of JSON.

    :param service: the service's name as the construct was given it
    :param function_name: the value of the metrics' only dimension, ``FunctionName``
    :param diagnostics: what a failure's record says beside the failure, and what it hides
    :param may_refuse: whether a message may go back because a circuit is open, or a turn too far off
    :ivar about: the members that every record has, each with a comma before it
    """

    def __init__(
        self,
        *,
        service: str,
        function_name: str,
        clock: Clock = SYSTEM_CLOCK,
        diagnostics: Diagnostics | None = None,
        may_refuse: bool = False,
    ) -> None:
        self.function_name = function_name
        self.clock = clock
        self._diagnostics = diagnostics or Diagnostics()
        self._second = -1
        self._second_text = ""
        name = _quote(function_name)
        self.about = f',"service":{_quote(service)},"function_name":{name}'
        dimension = f',"FunctionName":{name}'
        ends = _ENDS_WITH_HELD if may_refuse else _ENDS
        # A breaker that the handler made by itself: every start needs an end that the alarm knows.
        held = "Held" if may_refuse else "Failed"
        self._held = f',"{held}":1'
        self._not_yet = "".join(f',"{end}":0' for end in ends)
        self._heads = {
            status: _directive('["FunctionName"]', metrics) + dimension
            for status, metrics in {
                "STARTED": tuple(_COUNT % name for name in ("Started", *ends)),
                "COMPLETED": (_COUNT % "Completed", _DURATION % "Duration"),
                "FAILED": (_COUNT % "Failed", _DURATION % "Duration"),
                "REJECTED": (_COUNT % "Rejected", _DURATION % "Duration"),
                "DEADLINE": (_COUNT % "DeadlineExceeded",),
                "HELD": (_COUNT % held,),
            }.items()
        }
        self._called = (
            _directive(
                '["FunctionName","Downstream"]',
                (_COUNT % "DownstreamFailed", _DURATION % "DownstreamDuration"),
            )
            + dimension
        )

    def started(self, call: Call) -> str:
        """The handler is about to run."""
        return self._line("STARTED", f',"Started":1{self._not_yet},"status":"STARTED"{self.of(call)}}}')

    def completed(self, call: Call, seconds: float) -> str:
        """The handler returned."""
        return self._line(
            "COMPLETED", f',"Completed":1{_took(seconds)},"status":"COMPLETED"{self.of(call)}}}'
        )

    def failed(
        self,
        call: Call,
        seconds: float,
        error: BaseException,
        event: object,
        *,
        reason: str | None = None,
        remedy: str | None = None,
        dead_lettered: bool = False,
        labelled: bool = True,
    ) -> str:
        """The handler raised, or its rejected message could not be stored; the work comes back.

        :param event: what the handler was given; told without its secrets
        :param reason: why the handler had rejected the message
        :param remedy: what a person should do now
        :param dead_lettered: that it does not come back: this was its last receive, and it is stored in the
            dead-letter queue
        :param labelled: whether it carries its reason there
        """
        kept = ',"dead_lettered":true' if dead_lettered else ""
        kept += "" if labelled else ',"labelled":false'
        return self._line(
            "FAILED",
            f',"Failed":1{_took(seconds)},"status":"FAILED"{self.of(call)},"error":{self._error(error)}'
            f"{self._member('reason', reason)}{self._member('remedy', remedy)}{kept}{self._stack(error)}"
            f"{self._diagnostics.of_failure(call, error, event)}}}",
        )

    def rejected(self, call: Call, seconds: float, *, reason: str, error: str | None, labelled: bool) -> str:
        """The message is safe in the dead-letter queue.

        :param labelled: whether it carries its reason there; where it does not, this record alone has it
        """
        label = "" if labelled else ',"labelled":false'
        return self._line(
            "REJECTED",
            f',"Rejected":1{_took(seconds)},"status":"REJECTED"{self.of(call)}'
            f"{self._member('reason', reason)}{self._member('error', error)}{label}}}",
        )

    def refused(self, call: Call, reason: str) -> str:
        """The message had begun and goes back, because what its handler needs is not to be called now.

        :param reason: without secrets
        """
        return self._line("HELD", f'{self._held},"status":"HELD"{self.of(call)},"reason":{_quote(reason)}}}')

    def held(self, call: Call, reason: str, group: str | None = None) -> str:
        """The message went back untouched. Not counted.

        :param reason: why it was not begun
        :param group: its message group, where an earlier message of that went back
        """
        in_group = "" if group is None else f',"message_group":{_quote(text_of(group))}'
        return f'{{"status":"HELD"{self.of(call)},"reason":{_quote(reason)}{in_group},{self.at()[1]}}}'

    def deadline(self, call: Call | None, firing: Firing) -> str:
        """Lambda's timeout is near and the handler is running still: what it is doing. Counted once."""
        not_interrupted = _member("not_interrupted", firing.cannot_interrupt)
        return self._line(
            "DEADLINE",
            f',"DeadlineExceeded":{1 if firing.times == 1 else 0},"status":"DEADLINE"'
            f"{self.about if call is None else self.of(call)}"
            f',"ran_ms":{firing.ran * 1000:.0f},"remaining_ms":{firing.left * 1000:.0f}{not_interrupted}'
            f"{self._diagnostics.of_deadline(call, firing)}}}",
        )

    def unguarded(self, reason: str) -> str:
        """Handlers of this environment cannot be interrupted before Lambda's timeout. Not counted."""
        return f'{{"status":"UNGUARDED"{self.about},"reason":{_quote(reason)},{self.at()[1]}}}'

    def called(self, call: Call, name: str, seconds: float, error: BaseException | None) -> str:
        """A downstream was called; ``FunctionName`` and ``Downstream`` are the dimensions."""
        ms, timestamp = self.at()
        outcome = outcome_of(error)
        duration = f"{seconds * 1000:.3f}"
        quoted = _quote(name)
        told = "" if error is None else f',"error":{self._error(error)}'
        return (
            f'{{"_aws":{{"Timestamp":{ms},{self._called},"Downstream":{quoted}'
            f',"DownstreamFailed":{1 if outcome == "failed" else 0},"DownstreamDuration":{duration}'
            f',"status":"CALLED"{self.of(call)},"downstream":{quoted},"outcome":"{outcome}"'
            f',"duration_ms":{duration}{told},{timestamp}}}'
        )

    def broken(self, part: str, error: BaseException) -> str:
        """A part of this runtime failed; invocations go on without its help. Not counted."""
        return (
            f'{{"status":"BROKEN"{self.about},"part":{_quote(part)},"error":{self._error(error)}'
            f"{self._stack(error)},{self.at()[1]}}}"
        )

    def timestamp(self) -> str:
        """Now, as an RFC 3339 timestamp in UTC with milliseconds."""
        return self.at()[1][len('"timestamp":"') : -1]

    def _line(self, status: str, rest: str) -> str:
        ms, timestamp = self.at()
        # ``rest`` ends its object; the timestamp goes in before that brace.
        return f'{{"_aws":{{"Timestamp":{ms},{self._heads[status]}{rest[:-1]},{timestamp}}}'

    def _error(self, error: BaseException) -> str:
        text = self.shown(error)
        return _quote(f"{type(error).__name__}: {text}" if text else type(error).__name__)

    def _member(self, name: str, value: object) -> str:
        return "" if value is None else f',"{name}":{_quote(self.shown(value))}'

    def shown(self, value: object) -> str:
        """What ``text_of`` says, without its secrets."""
        text = _printed(value)
        try:
            shown, more = beginning(text, _LONGEST_TEXT, beyond=_BEYOND, hide=self._diagnostics.text)
        except Exception:  # noqa: BLE001  a record is wanted most where nothing works any more
            return _UNSEARCHED
        return shortened(shown, _LONGEST_TEXT, length=len(text), more=more)

    def _stack(self, error: BaseException) -> str:
        try:
            stack = self._diagnostics.stack(error)
        except Exception:  # noqa: BLE001  an exception may break whoever prints it
            return ""
        return f',"stack":{_quote(stack)}'

    def of(self, call: Call) -> str:
        """The members that tell whose record it is."""
        message = call.message_id
        which = (
            "" if message is None else f',"message_id":{_quote(text_of(message))},"attempt":{call.attempt}'
        )
        if call.lane is not None:
            which += f',"lane":{_quote(call.lane)}'
        return (
            f'{self.about},"correlation_id":{_quote(call.correlation_id)}{which}'
            f',"request_id":{_quote(call.request_id)}'
        )

    def at(self) -> tuple[int, str]:
        """Now, in milliseconds since 1970 and as a member."""
        ms = int(self.clock.wall() * 1000)
        second, rest = divmod(ms, 1000)
        if second != self._second:
            # Formatting a date takes longer than all the rest of a line, and changes once a second.
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return ms, f'"timestamp":"{self._second_text}.{rest:03d}Z"'


class Teller:
    """Writes a record and hands it on; one that cannot be written or handed on is given up.

    A completed message must not come back because a log is full.

    :param emit: takes each line
    """

    __slots__ = ("_emit",)

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit

    def __call__(self, write: Callable[_P, str], /, *arguments: _P.args, **named: _P.kwargs) -> None:
        """Tell what ``write`` makes of the arguments."""
        try:  # noqa: SIM105  suppress() takes as long as the rest of this function
            self._emit(write(*arguments, **named))
        except Exception:  # noqa: BLE001, S110
            pass


def text_of(value: object) -> str:
    """``value`` as text, whatever it is: at most 4,096 characters, and never an exception."""
    text = _printed(value)
    return shortened(text, _LONGEST_TEXT, length=len(text), more=False)


def describe(error: BaseException) -> str:
    """An exception in one line: its class and its message."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _printed(value: object) -> str:
    try:
        return value if type(value) is str else str(value)
    except Exception:  # noqa: BLE001  a reason that cannot be printed must not cost the message
        return f"<{type(value).__name__} that cannot be printed>"


def _directive(dimensions: str, metrics: tuple[str, ...]) -> str:
    return (
        f'"CloudWatchMetrics":[{{"Namespace":"{METRICS_NAMESPACE}","Dimensions":[{dimensions}],'
        f'"Metrics":[{",".join(metrics)}]}}]}}'
    )


def _member(name: str, text: str | None) -> str:
    return "" if text is None else f',"{name}":{_quote(text)}'


def _took(seconds: float) -> str:
    ms = f"{seconds * 1000:.3f}"
    return f',"Duration":{ms},"duration_ms":{ms}'
