"""The mapping templates (VTL) between a request and the storage call, as pure functions.

Each is one line of Velocity: API Gateway's engine leaves some line breaks of a template in its output, and
a line break in a form body would become part of a value.

A queue gets the body as it was sent, byte for byte: ``$input.body``. Inside an event's detail stands
``$input.json('$')``, the body parsed and printed again, although that may turn 10.00 into 10.0: unparsed text
in the middle of a JSON object is an injection as soon as something follows its first value, such as
``{"a": 1}, "data": {}``, and no AWS page says that the request validator refuses what follows.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import json

from .limits import RETRY_AFTER_SECONDS

__all__ = [
    "accepted_by_bus",
    "accepted_by_queue",
    "put_events",
    "refused_by_bus",
    "refused_by_queue",
    "send_message",
]

# Query parameters and headers of both spellings (HTTP/2 sends names in lower case) are looked at; whatever
# is no plain ID is dropped, so that nothing a client sends reaches a form, a log line or a header unescaped.
_CORRELATION = (
    "#set($correlation = $context.requestId)"
    "#set($sent = \"$!input.params('x-correlation-id')\")"
    "#if($sent.matches('[A-Za-z0-9._-]{1,128}'))#set($correlation = $sent)#end"
    "#set($sent = \"$!input.params('X-Correlation-Id')\")"
    "#if($sent.matches('[A-Za-z0-9._-]{1,128}'))#set($correlation = $sent)#end"
)
_ANSWER_CORRELATION = "#set($context.responseOverride.header.X-Correlation-Id = $correlation)"
# With quotes too, as the header's draft writes it; they are taken off. A key that does not fit is dropped,
# and the answer tells it by not repeating the header: a request template cannot refuse a request.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
_IDEMPOTENCY = '#set($key = "")' + "".join(
    f"#set($sent = \"$!input.params('{name}')\")"
    """#if($sent.matches('[A-Za-z0-9._-]{1,128}|"[A-Za-z0-9._-]{1,128}"'))"""
    """#set($key = $sent.replace('"', ''))#end"""
    for name in ("idempotency-key", "Idempotency-Key")
)
_ANSWER_IDEMPOTENCY = '#if($key != "")#set($context.responseOverride.header.Idempotency-Key = $key)#end'
_TRACED = '#if("$!context.xrayTraceId" != "")'

# escapeJavaScript writes \' for an apostrophe, which is no JSON. Every apostrophe in its output has exactly
# one backslash of its own before it, so this takes away that one and no other.
_BODY_IN_A_JSON_STRING = r"""$util.escapeJavaScript($input.json('$')).replaceAll("\\'","'")"""


def send_message(
    *, message_group: str | None = None, deduplicate_by: str | None = None, fifo: bool = False
) -> str:
    """The form that SQS takes for ``SendMessage``: the body untouched, the client's IDs as attributes.

    :param message_group: the top-level body property whose value becomes the message group
    :param deduplicate_by: the top-level body property whose value becomes the deduplication ID
    :param fifo: whether the queue is a FIFO queue, which needs a deduplication ID with every message
    """
    form = [
        "Action=SendMessage",
        "&MessageBody=$util.urlEncode($input.body)",
        "&MessageAttribute.1.Name=correlation_id",
        "&MessageAttribute.1.Value.DataType=String",
        "&MessageAttribute.1.Value.StringValue=$util.urlEncode($correlation)",
        '#if($key != "")&MessageAttribute.2.Name=idempotency_key',
        "&MessageAttribute.2.Value.DataType=String",
        "&MessageAttribute.2.Value.StringValue=$util.urlEncode($key)#end",
    ]
    if message_group is not None:
        form.append(f"&MessageGroupId=$util.urlEncode(\"$!input.path('$.{message_group}')\")")
    if deduplicate_by is not None:
        form.append(f"&MessageDeduplicationId=$util.urlEncode(\"$!input.path('$.{deduplicate_by}')\")")
    elif fifo:
        form.append('&MessageDeduplicationId=#if($key != "")$util.urlEncode($key)#else$context.requestId#end')
    trace = (
        f"{_TRACED}&MessageSystemAttribute.1.Name=AWSTraceHeader"
        "&MessageSystemAttribute.1.Value.DataType=String"
        '&MessageSystemAttribute.1.Value.StringValue=$util.urlEncode("Root=$context.xrayTraceId")#end'
    )
    return _CORRELATION + _IDEMPOTENCY + "".join(form) + trace


def put_events(*, bus: str, source: str, detail_type: str) -> str:
    """The JSON that EventBridge takes for ``PutEvents``: one entry, the body under ``detail.data``.

    :param bus: name or ARN of the bus; a token is fine
    :param source: the event's source
    :param detail_type: the event's detail type
    """
    detail = (
        r"{\"metadata\":{\"correlation_id\":\"$correlation\","
        r"#if($key != '')\"idempotency_key\":\"$key\",#end"
        r"\"accepted_at_ms\":$context.requestTimeEpoch},"
        rf"\"data\":{_BODY_IN_A_JSON_STRING}}}"
    )
    trace = _TRACED + ',"TraceHeader":"Root=$context.xrayTraceId"#end'
    return (
        f'{_CORRELATION}{_IDEMPOTENCY}{{"Entries":[{{"EventBusName":{json.dumps(bus)},'
        f'"Source":{json.dumps(source)},"DetailType":{json.dumps(detail_type)},"Detail":"{detail}"{trace}}}]}}'
    )


def accepted_by_queue() -> str:
    """The answer when SQS said 2xx: 202 with the message ID, or 503 when there is none."""
    return (
        f"{_CORRELATION}{_ANSWER_CORRELATION}{_IDEMPOTENCY}{_ANSWER_IDEMPOTENCY}"
        "#set($id = \"$!input.path('$.SendMessageResponse.SendMessageResult.MessageId')\")"
        f'#if($id != ""){_ACCEPTED}#else{_AS_PROBLEM}{_status(503)}{_NOT_STORED}#end'
    )


def accepted_by_bus() -> str:
    """The answer when EventBridge said 200: 202 only when its one entry did not fail.

    ``PutEvents`` answers 200 for a call of which every entry was refused, so the entry is looked at.
    """
    return (
        f"{_CORRELATION}{_ANSWER_CORRELATION}{_IDEMPOTENCY}{_ANSWER_IDEMPOTENCY}"
        "#set($id = \"$!input.path('$.Entries[0].EventId')\")"
        "#set($failed = \"$!input.path('$.FailedEntryCount')\")"
        "#set($code = \"$!input.path('$.Entries[0].ErrorCode')\")"
        f'#if($id != "" && $failed == "0" && $code == ""){_ACCEPTED}'
        f'#elseif($code == "MalformedDetail"){_AS_PROBLEM}{_status(400)}{_UNFIT}'
        f"#else{_AS_PROBLEM}{_status(503)}{_NOT_STORED}#end"
    )


def refused_by_queue() -> str:
    """The answer when SQS refused: 413 or 400 when the message is to blame, else the mapped 503."""
    return (
        f"{_CORRELATION}{_ANSWER_CORRELATION}"
        "#set($reason = \"$!input.path('$.Error.Message')\")"
        "#set($code = \"$!input.path('$.Error.Code')\")"
        f'#if($reason.contains("must be shorter than")){_status(413)}{_TOO_LARGE}'
        '#elseif($code == "InvalidMessageContents" || $code == "InvalidParameterValue"'
        f' || $code == "MissingParameter"){_status(400)}{_UNFIT}'
        f"#else{_NOT_STORED}#end"
    )


def refused_by_bus() -> str:
    """The answer when EventBridge refused the whole call: 413 when the event is too large, else 503."""
    return (
        f"{_CORRELATION}{_ANSWER_CORRELATION}"
        "#set($reason = \"$!input.path('$.message')$!input.path('$.Message')\")"
        f'#if($reason.contains("over the limit") || $reason.contains("size exceeded"))'
        f"{_status(413)}{_TOO_LARGE}"
        f"#else{_NOT_STORED}#end"
    )


def _problem(*, status: int, title: str, detail: str) -> str:
    return (
        f'{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}",'
        '"correlation_id":"$correlation"}'
    )


def _status(status: int) -> str:
    # No value may be overridden twice in one request; every branch of a template does it once at most.
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
    return f"#set($context.responseOverride.status = {status})"


_AS_PROBLEM = '#set($context.responseOverride.header.Content-Type = "application/problem+json")'
_ACCEPTED = '{"message_id":"$id","correlation_id":"$correlation"}'
_NOT_STORED = f'#set($context.responseOverride.header.Retry-After = "{RETRY_AFTER_SECONDS}")' + _problem(
    status=503,
    title="Service Unavailable",
    detail="The request could not be stored. It is safe to send it again.",
)
_TOO_LARGE = _problem(
    status=413, title="Content Too Large", detail="The request is larger than a message may be."
)
_UNFIT = _problem(
    status=400, title="Bad Request", detail="The request holds a value that cannot be stored as a message."
)
