"""The mapping templates, rendered as API Gateway renders them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_double import REQUEST_ID, Request, answer, form, render
from hypothesis import example, given
from hypothesis import strategies as st

from resilient_constructs.local import vtl
from resilient_constructs.storage_first_api import templates

BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/Orders"
STORE = {"bus": BUS, "source": "shop", "detail_type": "OrderPlaced"}
MISSING = [None, ""]

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
# Plain text with one character in it that is not: what a rule that is a little too generous lets through.
foreign = st.tuples(
    st.text(PLAIN, max_size=9),
    st.characters(exclude_categories=["Cs"], exclude_characters=f'"{PLAIN}'),
    st.text(PLAIN, max_size=9),
).map("".join) | text.filter(lambda sent: '"' not in sent and not (sent and all(c in PLAIN for c in sent)))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A JSON object as clients write it: escaped or not, with or without white space."""
    return json.dumps(
        draw(st.dictionaries(text, values, max_size=5)),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1, "\t"])),
    )


def awkward(test: Any) -> Any:
    """Bodies that have broken mapping templates before."""
    for body in (
        '{"price": 10.00, "big": 123456789012345678901234567890, "e": 1E400}',
        '{"a": "it\'s \\"quoted\\" \\\\ \\\\\' \\/ back"}',
        '{"a": "$context.requestId ${x} $!y #set($a = 1) #if #end ## comment #* block *# \\\\$"}',
        '{"a": "&MessageGroupId=x&Action=DeleteQueue=+% %41"}',
        '{"a": "line\\nbreak\\r\\ttab\\u0000\\u2028", "ключ": "žluťoučký 🐎 \u2028"}',
        '{"a": "\\ud83d\\ude00 \\ud800"}',
        '{"a": 1, "a": 2}',
        ' \n{\r\n"a"\t: [ ]}\n',
        "'",
    ):
        test = example(body)(test)
    return test


class TestSendMessage:
    """What goes to SQS."""

    @awkward
    @given(bodies())
    def test_body_arrives_byte_for_byte(self, body: str) -> None:
        """Whatever the body holds, SQS gets exactly the text that the client sent."""
        assert form(render(templates.send_message(), Request(body=body)))["MessageBody"] == body

    def test_form_has_nothing_but_what_is_meant(self) -> None:
        """The form is one SendMessage with one attribute and no stray characters."""
        assert form(render(templates.send_message(), Request(body='{"a":"&Action=PurgeQueue"}'))) == {
            "Action": "SendMessage",
            "MessageBody": '{"a":"&Action=PurgeQueue"}',
            "MessageAttribute.1.Name": "correlation_id",
            "MessageAttribute.1.Value.DataType": "String",
            "MessageAttribute.1.Value.StringValue": REQUEST_ID,
        }

    def test_trace_goes_along(self) -> None:
        """Where there is an X-Ray trace, the message carries it as its system attribute."""
        sent = form(render(templates.send_message(), Request(trace="1-5759e988-bd862e3fe1be46a994272793")))
        assert sent["MessageSystemAttribute.1.Name"] == "AWSTraceHeader"
        assert (
            sent["MessageSystemAttribute.1.Value.StringValue"] == "Root=1-5759e988-bd862e3fe1be46a994272793"
        )

    @given(group=text.filter(bool))
    def test_message_group_comes_from_the_body(self, group: str) -> None:
        """A FIFO queue's message group is the body's property, whatever characters it has."""
        body = json.dumps({"customer": group})
        sent = form(render(templates.send_message(message_group="customer", fifo=True), Request(body=body)))
        assert sent["MessageGroupId"] == group
        assert sent["MessageDeduplicationId"] == REQUEST_ID

    def test_deduplication_comes_from_the_body(self) -> None:
        """A property may say which messages are the same, and then the request ID does not."""
        template = templates.send_message(message_group="customer", deduplicate_by="order", fifo=True)
        sent = form(render(template, Request(body='{"customer": "c", "order": 17}')))
        assert sent["MessageDeduplicationId"] == "17"


class TestPutEvents:
    """What goes to EventBridge."""

    @given(bodies(), bodies())
    def test_what_follows_the_body_cannot_enter_the_detail(self, body: str, injected: str) -> None:
        """Text after the JSON value adds no key to the detail and replaces none of its keys."""
        for smuggled in (f'{body},"data":{injected}', f'{body},"metadata":{injected}', f"{body}}}{injected}"):
            [entry] = json.loads(render(templates.put_events(**STORE), Request(body=smuggled)))["Entries"]
            pairs = json.loads(entry["Detail"], object_pairs_hook=list)
            assert [key for key, _ in pairs] == ["metadata", "data"]
            assert json.loads(entry["Detail"])["data"] == json.loads(body)

    @awkward
    @given(bodies())
    def test_detail_is_json_with_the_body_as_data(self, body: str) -> None:
        """EventBridge can parse the detail, and data is what was sent."""
        if body == "'":
            return  # no JSON: the request validator refused it before
        [entry] = json.loads(render(templates.put_events(**STORE), Request(body=body)))["Entries"]
        detail = json.loads(entry["Detail"])
        assert detail == {
            "metadata": {"correlation_id": REQUEST_ID, "accepted_at_ms": 1_700_000_000_123},
            "data": json.loads(body),
        }

    def test_entry_says_where_from_and_what(self) -> None:
        """The entry names bus, source and detail type, and has no other field than the detail."""
        [entry] = json.loads(render(templates.put_events(**STORE), Request()))["Entries"]
        entry.pop("Detail")
        assert entry == {"EventBusName": BUS, "Source": "shop", "DetailType": "OrderPlaced"}

    def test_trace_goes_along(self) -> None:
        """Where there is an X-Ray trace, the event carries it."""
        [entry] = json.loads(render(templates.put_events(**STORE), Request(trace="1-2-3")))["Entries"]
        assert entry["TraceHeader"] == "Root=1-2-3"


class TestCorrelation:
    """The correlation ID, there and back."""

    @pytest.mark.parametrize("name", ["X-Correlation-Id", "x-correlation-id"])
    @given(sent=st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True))
    def test_plain_id_of_the_client_is_used(self, name: str, sent: str) -> None:
        """An ID of letters, digits, dots, underscores and hyphens goes with the message and back."""
        request = Request(headers={name: sent})
        fields = form(render(templates.send_message(), request))
        assert fields["MessageAttribute.1.Value.StringValue"] == sent
        [entry] = json.loads(render(templates.put_events(**STORE), request))["Entries"]
        assert json.loads(entry["Detail"])["metadata"]["correlation_id"] == sent
        said = answer(templates.accepted_by_bus(), STORED_EVENT, mapped=202, request=request)
        assert said.headers["X-Correlation-Id"] == said.body["correlation_id"] == sent

    @given(sent=foreign | st.just("x" * 129))
    @example(sent='","data":1,"x":"')
    @example(sent="a\n")
    @example(sent="a&MessageGroupId=b")
    @example(sent="$context.requestId")
    def test_anything_else_is_dropped(self, sent: str) -> None:
        """Anything that is no plain ID is replaced by the request's ID, wherever it would have gone."""
        request = Request(headers={"X-Correlation-Id": sent})
        fields = form(render(templates.send_message(), request))
        assert fields["MessageAttribute.1.Value.StringValue"] == REQUEST_ID
        [entry] = json.loads(render(templates.put_events(**STORE), request))["Entries"]
        assert json.loads(entry["Detail"])["metadata"]["correlation_id"] == REQUEST_ID
        for template, said in ((templates.accepted_by_queue(), {}), (templates.refused_by_bus(), {})):
            assert answer(template, said, mapped=503, request=request).body["correlation_id"] == REQUEST_ID


class TestIdempotencyKey:
    """The client's key for one request, however often it is sent."""

    @pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key"])
    @pytest.mark.parametrize("written", ["{}", '"{}"'])
    @given(key=st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True))
    def test_plain_key_of_the_client_goes_along(self, name: str, written: str, key: str) -> None:
        """A key goes with the message or event without its quotes, and the 202 repeats it."""
        request = Request(headers={name: written.format(key)})
        fields = form(render(templates.send_message(fifo=True, message_group="a"), request))
        assert fields["MessageAttribute.2.Name"] == "idempotency_key"
        assert fields["MessageAttribute.2.Value.DataType"] == "String"
        assert fields["MessageAttribute.2.Value.StringValue"] == fields["MessageDeduplicationId"] == key
        [entry] = json.loads(render(templates.put_events(**STORE), request))["Entries"]
        assert json.loads(entry["Detail"])["metadata"]["idempotency_key"] == key
        for template, said in (
            (templates.accepted_by_bus(), STORED_EVENT),
            (templates.accepted_by_queue(), STORED_MESSAGE),
        ):
            assert answer(template, said, mapped=202, request=request).headers["Idempotency-Key"] == key

    @given(sent=foreign | foreign.map('"{}"'.format))
    @example(sent="x" * 129)
    @example(sent='"' + "x" * 129 + '"')
    @example(sent='"a b"')
    @example(sent='"a","b"')
    @example(sent='""')
    @example(sent='"a')
    @example(sent='"a"b"')
    @example(sent='","data":1,"x":"')
    @example(sent="a\n")
    @example(sent="a&MessageGroupId=b")
    @example(sent="$context.requestId")
    def test_anything_else_is_dropped(self, sent: str) -> None:
        """Anything that is no plain key goes nowhere, and the answer does not pretend that it did."""
        request = Request(headers={"Idempotency-Key": sent})
        fields = form(render(templates.send_message(fifo=True, message_group="a"), request))
        assert not [name for name in fields if name.startswith("MessageAttribute.2")]
        assert fields["MessageDeduplicationId"] == REQUEST_ID
        [entry] = json.loads(render(templates.put_events(**STORE), request))["Entries"]
        assert set(json.loads(entry["Detail"])["metadata"]) == {"correlation_id", "accepted_at_ms"}
        said = answer(templates.accepted_by_bus(), STORED_EVENT, mapped=202, request=request)
        assert "Idempotency-Key" not in said.headers

    def test_the_routes_own_property_deduplicates(self) -> None:
        """Where the route says which messages are the same, the client's key does not overrule it."""
        template = templates.send_message(message_group="customer", deduplicate_by="order", fifo=True)
        request = Request(body='{"customer": "c", "order": 17}', headers={"Idempotency-Key": "k"})
        assert form(render(template, request))["MessageDeduplicationId"] == "17"

    def test_local_aws_sends_the_same(self) -> None:
        """The local AWS renders a key, and the lack of one, as this test's own API Gateway does."""
        for headers in ({}, {"Idempotency-Key": '"k-1"'}):
            template = templates.send_message(fifo=True, message_group="a")
            local = vtl.Request(body="{}", headers=headers, context={"requestId": REQUEST_ID})
            assert form(vtl.render(template, local).text) == form(render(template, Request(headers=headers)))


STORED_MESSAGE = {"SendMessageResponse": {"SendMessageResult": {"MessageId": "m-1", "MD5OfMessageBody": "d"}}}
STORED_EVENT = {"FailedEntryCount": 0, "Entries": [{"EventId": "e-1"}]}


@pytest.mark.parametrize("missing", MISSING)
class TestAnswers:
    """What the client gets."""

    def test_stored_message_is_202_with_its_id(self, missing: Any) -> None:
        """A message that SQS gave an ID is accepted under that ID."""
        said = answer(
            templates.accepted_by_queue(), STORED_MESSAGE, mapped=202, request=Request(missing=missing)
        )
        assert said.status == 202
        assert said.body == {"message_id": "m-1", "correlation_id": REQUEST_ID}
        assert said.headers == {"X-Correlation-Id": REQUEST_ID}

    def test_stored_event_is_202_with_its_id(self, missing: Any) -> None:
        """An event that EventBridge gave an ID is accepted under that ID."""
        said = answer(templates.accepted_by_bus(), STORED_EVENT, mapped=202, request=Request(missing=missing))
        assert said.status == 202
        assert said.body == {"message_id": "e-1", "correlation_id": REQUEST_ID}
        assert said.headers == {"X-Correlation-Id": REQUEST_ID}

    @pytest.mark.parametrize(
        "said",
        [{}, {"SendMessageResponse": {}}, {"SendMessageResponse": {"SendMessageResult": {"MessageId": ""}}}],
    )
    def test_no_message_id_is_no_202(self, said: Any, missing: Any) -> None:
        """A 2xx of SQS without a message ID reaches the client as a retryable error."""
        got = answer(templates.accepted_by_queue(), said, mapped=202, request=Request(missing=missing))
        assert_retryable(got)

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "x"}]},
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "x"}]},
            {"FailedEntryCount": 1, "Entries": [{"EventId": "e-1"}]},
            {"FailedEntryCount": 0, "Entries": [{"EventId": ""}]},
            {"FailedEntryCount": 0, "Entries": []},
            {"FailedEntryCount": 0, "Entries": [{"EventId": "e-1", "ErrorCode": "InternalFailure"}]},
            {"Entries": [{"EventId": "e-1"}]},
        ],
    )
    def test_refused_entry_is_no_202(self, said: Any, missing: Any) -> None:
        """A PutEvents 200 whose entry failed, or has no ID, reaches the client as a retryable error."""
        got = answer(templates.accepted_by_bus(), said, mapped=202, request=Request(missing=missing))
        assert_retryable(got)
        assert got.headers["Content-Type"] == "application/problem+json"

    def test_malformed_detail_is_the_clients_fault(self, missing: Any) -> None:
        """A detail that EventBridge cannot parse gets 400, because sending it again is no use."""
        said = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "MalformedDetail", "ErrorMessage": "x"}]}
        got = answer(templates.accepted_by_bus(), said, mapped=202, request=Request(missing=missing))
        assert (got.status, got.body["status"]) == (400, 400)
        assert "Retry-After" not in got.headers

    @pytest.mark.parametrize(
        ("code", "message", "status"),
        [
            ("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.", 503),
            ("AccessDenied", "Access to the resource is denied.", 503),
            ("KMS.ThrottlingException", "Rate exceeded", 503),
            ("ServiceUnavailable", "", 503),
            ("InvalidParameterValue", "Reason: Message must be shorter than 1048576 bytes.", 413),
            ("InvalidMessageContents", "Invalid characters found", 400),
            ("MissingParameter", "The request must contain the parameter MessageBody.", 400),
        ],
    )
    def test_sqs_refusal_is_told_by_its_reason(
        self, code: str, message: str, status: int, missing: Any
    ) -> None:
        """What only we can mend is 503 with Retry-After; what the message is to blame for is 413 or 400."""
        said = {"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "r"}
        got = answer(templates.refused_by_queue(), said, mapped=503, request=Request(missing=missing))
        assert (got.status, got.body["status"]) == (status, status)
        assert ("Retry-After" in got.headers) == (status == 503)
        assert code not in json.dumps(got.body)

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ({"__type": "AccessDeniedException", "Message": "User is not authorized"}, 503),
            ({"__type": "ThrottlingException", "message": "Rate exceeded"}, 503),
            ({"__type": "ResourceNotFoundException", "message": "Event bus x does not exist."}, 503),
            ({"__type": "ValidationException", "message": "Total size of entries is over the limit."}, 413),
            ({}, 503),
        ],
    )  # fmt: skip
    def test_eventbridge_refusal_is_told_by_its_reason(self, said: Any, status: int, missing: Any) -> None:
        """A call that EventBridge refuses is 503 with Retry-After, unless the event is too large."""
        got = answer(templates.refused_by_bus(), said, mapped=503, request=Request(missing=missing))
        assert (got.status, got.body["status"]) == (status, status)
        assert ("Retry-After" in got.headers) == (status == 503)


def assert_retryable(got: Any) -> None:
    """Fail unless the client is told to send again."""
    assert got.status == got.body["status"] == 503
    assert got.headers["Retry-After"] == "1"
    assert "message_id" not in got.body


@pytest.mark.parametrize("name", [n for n in templates.__all__ if n not in ("put_events", "send_message")])
def test_templates_are_one_line(name: str) -> None:
    """No template has a line break, which Velocity might leave in a form's value."""
    assert "\n" not in getattr(templates, name)()
    assert "\n" not in templates.send_message(message_group="a", deduplicate_by="b", fifo=True)
    assert "\n" not in templates.put_events(**STORE)


@awkward
@given(bodies())
def test_local_aws_sends_the_same(body: str) -> None:
    """The local AWS renders these templates to the same requests as this test's own API Gateway."""
    local = vtl.Request(body=body, context={"requestId": REQUEST_ID, "requestTimeEpoch": 1_700_000_000_123})
    message, event = templates.send_message(), templates.put_events(**STORE)
    request = Request(body=body)
    assert form(vtl.render(message, local).text) == form(render(message, request))
    if body != "'":
        assert json.loads(vtl.render(event, local).text) == json.loads(render(event, request))
