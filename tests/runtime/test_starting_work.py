"""The starter of a workflow's executions, as a handler of messages."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from lambda_events import App, Context, Ticking, batch_of, bridge_event, returned, sqs_record
from resilient_runtime.call import Call
from resilient_runtime.pacing import Pacer
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.reject import Reject
from resilient_runtime.slow_down import NoTurn, SlowDown
from resilient_runtime.starting import Starter, starter_from
from resilient_runtime.stores.claims import ClaimNotRead, NotKept, S3Claims
from resilient_runtime.stores.executions import Executions, NotStarted

MACHINE = "arn:aws:states:eu-west-1:111122223333:stateMachine:Pages"


def refused(code: str, message: str = "no") -> ClientError:
    """An answer of AWS's that says no."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartExecution")


class StepFunctions:
    """Step Functions in memory; what is in ``refusals`` is raised first, one with each call."""

    def __init__(self, *refusals: Exception) -> None:
        self.started: dict[str, str] = {}
        self.refusals = list(refusals)

    def start_execution(self, **arguments: Any) -> Mapping[str, Any]:
        """Names are unique, as for a standard workflow whose executions have ended."""
        if self.refusals:
            raise self.refusals.pop(0)
        assert arguments["stateMachineArn"] == MACHINE
        if arguments["name"] in self.started:
            raise refused("ExecutionAlreadyExists")
        self.started[arguments["name"]] = arguments["input"]
        return {}


class S3:
    """A bucket in memory."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.refusal = refusal

    def put_object(self, **arguments: Any) -> Mapping[str, Any]:
        """Keep it."""
        if self.refusal:
            raise self.refusal
        self.objects[arguments["Key"]] = arguments["Body"]
        return {}

    def get_object(self, **arguments: Any) -> Mapping[str, Any]:
        """Give it."""
        if self.refusal:
            raise self.refusal
        content = self.objects.get(arguments["Key"], b"")
        if not content:
            raise refused("NoSuchKey")

        class Body:
            def read(self) -> bytes:
                return content

        return {"Body": Body()}


class World:
    """One environment of a starter."""

    def __init__(self, *refusals: Exception, rate: float | None = None, s3: S3 | None = None) -> None:
        self.aws = StepFunctions(*refusals)
        self.s3 = s3 or S3()
        self.clock = Ticking()
        self.told: list[dict[str, Any]] = []
        records = RareRecords(
            service="pages",
            function_name="Starter",
            clock=self.clock.clock,
            emit=lambda line: self.told.append(json.loads(line)),
        )
        pacer = None
        if rate is not None:
            pacer = Pacer(clock=self.clock.clock, random=lambda: 0.5, sleep=self.clock.sleep)
        self.starter = Starter(
            Executions(MACHINE, lambda: self.aws),
            S3Claims("kept", lambda: self.s3),
            machine=MACHINE,
            pacer=pacer,
            rate=rate,
            clock=self.clock.clock,
            records=records,
        )
        self.app = App(self.starter.start, clocked=self.clock)


def test_a_message_starts_an_execution() -> None:
    """By its key, with its body."""
    world = World()
    record = sqs_record({"page": 3}, attributes={"idempotency_key": "order-7"})
    assert returned(world.app(batch_of(record))) == []
    assert world.aws.started == {"order-7": '{"page":3}'}


def test_a_message_that_comes_twice_starts_one() -> None:
    """The second is done too, and it is told."""
    world = World()
    record = sqs_record({"page": 3}, message_id="m-1")
    world.app(batch_of(record))
    assert returned(world.app(batch_of(record))) == []
    assert world.app.statuses() == ["STARTED", "COMPLETED"] * 2
    assert [(one["status"], one["execution"]) for one in world.told] == [("ALREADY_STARTED", "m-1")]


def test_an_input_that_is_too_large_is_claimed() -> None:
    """It is kept once under its digest, and the execution gets the claim."""
    world = World()
    large = {"text": "ä" * 150_000}
    world.app(batch_of(sqs_record(large)))
    envelope = json.loads(world.aws.started["m-1"])
    claim = envelope["resilient"]["claim"]
    content = world.s3.objects[claim["key"]]
    assert envelope["input"] is None
    assert json.loads(content) == large
    assert claim == {
        "bucket": "kept",
        "key": f"work/{hashlib.sha256(content).hexdigest()}.json",
        "size": len(content),
    }


def test_a_parked_work_that_is_too_large_keeps_its_name() -> None:
    """The claim joins what the envelope says."""
    world = World()
    body = {"resilient": {"name": "order-7", "parked": 2}, "input": "x" * 300_000}
    world.app(batch_of(sqs_record(body)))
    about = json.loads(world.aws.started["order-7-p2"])["resilient"]
    assert (about["name"], about["parked"], about["claim"]["size"]) == ("order-7", 2, 300_002)


def ended(**detail: object) -> dict[str, Any]:
    """The event of the end of an execution, as its rule sends it to the dead letters."""
    named = {"name": "order-7", "executionArn": f"{MACHINE}:order-7", "stateMachineArn": MACHINE}
    return bridge_event(
        {**named, "status": "TIMED_OUT", **detail},
        source="aws.states",
        **{"detail-type": "Step Functions Execution Status Change"},
    )


def test_an_execution_that_timed_out_is_started_anew_with_its_own_input() -> None:
    """Its event, moved from the dead letters to the queue, is the work and not an input; twice it is one."""
    world = World()
    records = [sqs_record(ended(input='{"page": 3}'), message_id=name) for name in ("m-1", "m-2")]
    assert returned(world.app(batch_of(*records))) == []
    assert world.aws.started == {"order-7-again": '{"resilient":{"key":"order-7"},"input":{"page":3}}'}


def test_an_execution_that_timed_out_without_telling_its_input_is_dead_lettered() -> None:
    """Nothing is started with the event, and the reason says how the work is run again."""
    world = World()
    assert returned(world.app(batch_of(sqs_record(ended())))) == []
    assert world.aws.started == {}
    assert "resilient redrive" in world.app.dead_letters.stored[0][1].reason


def test_a_dead_letter_that_was_sent_twice_is_one_work() -> None:
    """Step Functions did not hear that the first had arrived; moved back, both are one execution."""
    world = World()
    execution = MACHINE.replace("stateMachine", "execution") + ":order-7"
    letter = {"input": {"page": 3}, "error": "Boom", "cause": "", "execution": execution}
    world.app(batch_of(*(sqs_record(letter, message_id=name) for name in ("m-1", "m-2"))))
    assert list(world.aws.started) == ["order-7-again"]
    assert [one["status"] for one in world.told] == ["ALREADY_STARTED"]


def test_a_large_input_without_a_bucket_is_dead_lettered() -> None:
    """It would be refused for ever, and its reason says what to set."""
    aws = StepFunctions()
    app = App(Starter(Executions(MACHINE, lambda: aws), None).start)
    assert returned(app(batch_of(sqs_record("x" * 300_000)))) == []
    assert "RESILIENT_CLAIMS_BUCKET" in app.dead_letters.stored[0][1].reason


@pytest.mark.parametrize(
    ("body", "refusal"),
    [('{"x":NaN}', None), ('{"x":1}', refused("InvalidExecutionInput", "no JSON."))],
)
def test_what_can_never_be_an_input_is_dead_lettered(body: str, refusal: Exception | None) -> None:
    """With its reason, while the rest of the batch is started."""
    world = World(*([refusal] if refusal else []))
    response = world.app(batch_of(sqs_record(body, message_id="bad"), sqs_record({}, message_id="good")))
    assert returned(response) == []
    assert world.app.dead_letters.ids == ["bad"]
    assert "JSON" in world.app.dead_letters.stored[0][1].reason
    assert list(world.aws.started) == ["good"]


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (refused("ThrottlingException", "Rate exceeded"), SlowDown, "quota"),
        (refused("ExecutionLimitExceeded"), SlowDown, "open executions"),
        (refused("StateMachineDoesNotExist", "gone."), NotStarted, "gone. Deploy the workflow again"),
        (refused("StateMachineDeleting"), NotStarted, "being deleted"),
        (refused("InvalidArn"), NotStarted, "RESILIENT_STATE_MACHINE_ARN"),
        (refused("AccessDeniedException"), NotStarted, "states:StartExecution"),
        (refused("KmsAccessDeniedException"), NotStarted, "kms:Decrypt"),
        (refused("ValidationException"), NotStarted, "tried again"),
        (EndpointConnectionError(endpoint_url="x"), NotStarted, "interface endpoint for states"),
    ],
)
def test_whatever_else_aws_refuses_returns_the_message(
    error: Exception, kind: type[Exception], says: str
) -> None:
    """Nothing is lost by it, and the record says what to do."""
    with pytest.raises(kind, match=says):
        Executions(MACHINE, lambda: StepFunctions(error)).start("n", "{}")
    world = World(error)
    assert returned(world.app(batch_of(sqs_record({})))) == ["m-1"]
    assert world.app.dead_letters.ids == []
    assert says in json.dumps(world.app.records)


def test_an_account_that_is_full_is_asked_again_much_later() -> None:
    """No sooner than a minute later: executions have to end first."""
    world = World(refused("ExecutionLimitExceeded"))
    world.app(batch_of(sqs_record({})))
    ((_, seconds),) = world.app.visibility.delays
    assert seconds > 60


def test_a_claim_that_is_not_kept_starts_nothing() -> None:
    """The message returns, and the record names the bucket."""
    world = World(s3=S3(refused("NoSuchBucket")))
    assert returned(world.app(batch_of(sqs_record("x" * 300_000)))) == ["m-1"]
    assert world.aws.started == {}
    with pytest.raises(NotKept, match="kept is not there"):
        S3Claims("kept", lambda: S3(refused("NoSuchBucket"))).store("{}")
    with pytest.raises(NotKept, match="s3:PutObject"):
        S3Claims("kept", lambda: S3(refused("AccessDenied"))).store("{}")


def test_starts_keep_their_pace() -> None:
    """A batch of ten at two a second takes about five seconds, and every message is started."""
    world = World(rate=2)
    began = world.clock.now
    response = world.app(batch_of(*(sqs_record({}, message_id=f"m-{n}") for n in range(10))))
    assert returned(response) == []
    assert len(world.aws.started) == 10
    assert 3.5 < world.clock.now - began < 9


def test_a_message_whose_turn_is_too_far_off_returns_for_then() -> None:
    """Beyond the invocation's end, it is neither started nor failed, and returns when its turn may be."""
    world = World(rate=0.01)
    call = Call(message_id="m", remaining=lambda: 30_000, clock=world.clock.clock)
    world.starter.start({}, call)
    with pytest.raises(NoTurn) as no_turn:
        world.starter.start({}, call)
    assert 60 < no_turn.value.wait < 100
    response = world.app(batch_of(sqs_record({}, message_id="late")), Context(30_000))
    assert returned(response) == ["late"]
    assert world.app.statuses() == ["STARTED", "HELD"]
    ((_, seconds),) = world.app.visibility.delays
    assert seconds > 20


def test_a_throttle_slows_the_environment_down() -> None:
    """After it, the next start waits for longer than its interval."""
    world = World(refused("ThrottlingException"), rate=1)
    call = Call(message_id="m", clock=world.clock.clock)
    with pytest.raises(SlowDown):
        world.starter.start({}, call)
    began = world.clock.now
    world.starter.start({}, call)
    assert world.clock.now - began > 1


KEY = f"work/{hashlib.sha256(b'1').hexdigest()}.json"


def test_what_was_kept_can_be_read() -> None:
    """By its claim alone, in another function."""
    s3 = S3()
    claim = S3Claims("kept", lambda: s3).store('{"page":3}')
    assert S3Claims(connect=lambda: s3).read(claim) == '{"page":3}'


@pytest.mark.parametrize("key", ["secrets/prod.json", "work/x.json", f"../{KEY}", f"{KEY}\n", None])
def test_only_what_was_kept_can_be_claimed(key: object) -> None:
    """Whoever may send a message must not choose what the role reads."""
    with pytest.raises(Reject, match="claims no input"):
        S3Claims(connect=S3).read({"bucket": "kept", "key": key})


def test_a_digest_that_does_not_fit_is_refused() -> None:
    """The object is another than the one that was claimed."""
    s3 = S3()
    s3.objects[KEY] = b"2"
    with pytest.raises(Reject, match="digest"):
        S3Claims(connect=lambda: s3).read({"bucket": "kept", "key": KEY})


def test_an_input_that_expired_is_told() -> None:
    """No later attempt can bring it back."""
    with pytest.raises(Reject, match="sent again"):
        S3Claims(connect=S3).read({"bucket": "kept", "key": KEY})


def test_an_input_that_cannot_be_read_now_is_no_fault_of_the_work() -> None:
    """Another attempt may read it; the text says what to allow."""
    with pytest.raises(ClaimNotRead, match="s3:GetObject"):
        S3Claims(connect=lambda: S3(refused("AccessDenied"))).read({"bucket": "kept", "key": KEY})


ENV = {"RESILIENT_STATE_MACHINE_ARN": MACHINE, "RESILIENT_CLAIMS_BUCKET": "kept"}


def test_a_starter_without_its_settings_does_not_start() -> None:
    """All that is missing or wrong is told at once."""
    with pytest.raises(ValueError, match=r"ARN is not set; RESILIENT_CLAIMS_BUCKET is not.*'fast'"):
        starter_from({"RESILIENT_STARTS_PER_SECOND": "fast"})
    with pytest.raises(ValueError, match="'-1'"):
        starter_from({**ENV, "RESILIENT_STARTS_PER_SECOND": "-1"})
    assert starter_from({**ENV, "RESILIENT_STARTS_PER_SECOND": "2.5"})
    assert starter_from(ENV)


def test_the_handler_is_made_when_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the init phase fails for want of a setting, and importing the module does not."""
    starting = importlib.import_module("resilient_runtime.starting")
    vars(starting).pop("start", None)
    with pytest.raises(ValueError, match="RESILIENT_STATE_MACHINE_ARN"):
        _ = starting.start
    with pytest.raises(AttributeError):
        _ = starting.stop
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    assert starting.start.__self__.__class__ is Starter
    vars(starting).pop("start")
