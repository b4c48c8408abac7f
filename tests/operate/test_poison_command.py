from __future__ import annotations

import base64
import json

import pytest
from poison_world import SHARD, STREAM, World

from resilient_constructs.operate import poison_command


def test_records_are_listed_in_the_order_of_their_keys(world: World) -> None:
    """The list is sorted by key and, within one, as the stream had them; a record kept twice is one."""
    for sequence, key in ((9, "b"), (10, "a"), (2, "a"), (2, "a")):
        world.keep(sequence, key)
    assert world.ids() == ["2", "10", "9"]


def test_looking_takes_nothing_out(world: World) -> None:
    """What was listed or shown is there for the next one who looks."""
    world.keep(1)
    assert world.ids() == ["1"]
    shown = json.loads(world.run("show", f"{SHARD}:1").stdout)
    assert base64.b64decode(shown["record"]["kinesis"]["data"]) == b"1"
    assert world.ids() == ["1"]


def test_a_record_too_large_for_a_message_is_kept_whole_in_the_bucket(world: World) -> None:
    """A record beyond SQS's limit comes back whole, and its object goes when it does."""
    world.keep(1, size=1_000_000)
    shown = json.loads(world.run("show", f"{SHARD}:1").stdout)
    assert len(base64.b64decode(shown["record"]["kinesis"]["data"])) == 1_000_000
    assert world.run("discard", "--all", "--reason", "too large").exit_code == 0
    assert world.s3.list_objects_v2(Bucket="poison").get("Contents", []) == []


def test_replaying_to_the_stream_keeps_the_order_of_a_key(world: World) -> None:
    """Records go back into the stream in their keys' order, and leave the store."""
    for sequence in (10, 9, 2):
        world.keep(sequence)
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 0, result.output
    assert world.streamed() == ["2", "9", "10"]
    assert world.ids() == []


def test_what_the_handler_gives_back_stays_with_all_that_follows_it(world: World) -> None:
    """A record that fails again keeps the later ones of its key in the store; other keys are done."""
    for sequence, key in ((1, "a"), (2, "a"), (3, "a"), (4, "b")):
        world.keep(sequence, key)
    world.function.gives_back = {"2"}
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert world.ids() == ["2", "3"]
    assert all(event["resilient_replay"] is True for event in world.function.events)


def test_a_function_that_fails_keeps_everything(world: World) -> None:
    """An invocation that ends in an error removes nothing."""
    world.keep(1)
    world.function.fails = True
    assert world.run("replay", "--all", "--to", "handler", "--function", "Orders").exit_code == 1
    assert world.ids() == ["1"]


def test_a_position_without_its_record_cannot_be_replayed(world: World) -> None:
    """What the stream had dropped stays until somebody discards it, and it is said why."""
    world.store.store(
        {
            "version": 1,
            "kind": "EXPIRED",
            "stream": STREAM,
            "shard": SHARD,
            "sequence_number": "3",
            "record": None,
        }
    )
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "only its position is known" in result.output
    assert world.ids() == ["3"]


def test_a_parked_key_goes_on_when_all_of_it_is_replayed(world: World) -> None:
    """After the last record of a parked key was done again, the key is no longer parked."""
    world.park(1, 12)
    assert world.parked() == {"k"}
    world.run("replay", f"{SHARD}:1", "--to", "handler", "--function", "Orders")
    assert world.parked() == {"k"}
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 0, result.output
    assert world.parked() == set()
    assert world.ids() == []


def test_a_parked_key_is_not_replayed_to_the_stream(world: World) -> None:
    """Behind what is in the stream its records would be overtaken, so they stay and it is said why."""
    world.park(1)
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "its key is parked" in result.output
    assert world.streamed() == []
    assert world.ids() == ["1"]


def test_a_record_whose_key_goes_on_is_replayed_to_the_stream(world: World) -> None:
    """Where keys can be parked, but this one is not, a record comes behind what is in the stream."""
    world.keep(1, parked_table="Parked")
    assert world.run("replay", "--all", "--to", "stream").exit_code == 0
    assert world.streamed() == ["1"]
    assert world.ids() == []


def test_a_key_stays_parked_when_a_record_was_kept_behind_it_meanwhile(world: World) -> None:
    """A record that was parked after the store was read is not overtaken by those that follow it."""
    world.park(1)
    world.keys.wait("k", world.record(20))
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert f"it waits for {SHARD}:20, which was not here" in result.output
    assert world.parked() == {"k"}
    assert world.ids() == []
    world.keep(20, kind="PARKED", parked_table="Parked")
    assert world.run("replay", "--all", "--to", "handler", "--function", "Orders").exit_code == 0
    assert world.parked() == set()


def test_discarding_needs_a_reason_and_prints_what_is_lost(world: World) -> None:
    """A record is given up only with a reason, and is printed whole before."""
    world.keep(1)
    assert world.run("discard", "--all", "--reason", " ").exit_code == 2
    assert world.ids() == ["1"]
    told = json.loads(world.run("discard", f"{SHARD}:1", "--reason", "test data").stdout)
    assert told["discarded_because"] == "test data"
    assert told["record"]["kinesis"]["sequenceNumber"] == "1"
    assert world.ids() == []


def test_an_unknown_id_changes_nothing(world: World) -> None:
    """One wrong id stops the command, and all wrong ones are named."""
    world.keep(1)
    result = world.run("replay", f"{SHARD}:1", f"{SHARD}:7", f"{SHARD}:8", "--to", "stream")
    assert result.exit_code == 2
    assert f"{SHARD}:7, {SHARD}:8" in result.output
    assert world.ids() == ["1"]


def test_which_records_has_to_be_said(world: World) -> None:
    """Nothing is replayed or discarded by leaving words out."""
    world.keep(1)
    assert world.run("replay", "--to", "stream").exit_code == 2
    assert world.run("discard", "--reason", "x").exit_code == 2
    assert world.run("replay", "--all", "--to", "handler").exit_code == 2
    assert world.run("replay", "--all", "--to", "stream", "--function", "Orders").exit_code == 2
    assert world.ids() == ["1"]


def test_a_message_whose_object_is_gone_keeps_nobody_from_the_rest(world: World) -> None:
    """What was stored twice, and read once when it was removed, leaves a position and not a dead command."""
    world.keep(1, size=1_000_000)
    world.keep(2)
    world.s3.delete_object(Bucket="poison", Key=f"poison/{SHARD}/1.json")
    assert world.ids() == ["1", "2"]
    result = world.run("replay", "--all", "--to", "stream")
    assert result.exit_code == 1
    assert "only its position is known" in result.output
    assert world.ids() == ["1"]
    assert world.run("discard", "--all", "--reason", "gone").exit_code == 0
    assert world.ids() == []


@pytest.mark.parametrize("first", [True, False])
def test_of_a_record_kept_twice_the_whole_one_is_replayed(world: World, first: bool) -> None:
    """A position that was stored for a record which is there whole, and parked, hides neither."""
    position = {
        "version": 1,
        "kind": "EXPIRED",
        "stream": STREAM,
        "shard": SHARD,
        "sequence_number": "3",
        "record": None,
    }
    if first:
        world.store.store(position)
    world.keep(3, parked_table="Parked")
    world.keep(3, kind="GIVEN_UP")
    if not first:
        world.store.store(position)
    told = json.loads(world.run("show", f"{SHARD}:3").stdout)
    assert told["kind"] == "POISON"
    assert told["parked_table"] == "Parked"


def test_a_handler_is_called_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay waits for as long as a function may take, and never invokes it a second time by itself."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config = poison_command._connect("lambda").meta.config
    assert config.read_timeout >= 900
    assert config.retries["total_max_attempts"] == 1


def test_a_stranger_in_the_queue_is_put_back_with_all_the_others(world: World) -> None:
    """A message that is no entry stops the command, and hides nothing from the next one."""
    world.keep(1)
    world.sqs.send_message(QueueUrl=world.url, MessageBody="hello")
    result = world.run("list")
    assert result.exit_code == 2
    assert "nothing was changed" in result.output
    left = world.sqs.get_queue_attributes(QueueUrl=world.url, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"
    ]
    assert left["ApproximateNumberOfMessages"] == "2"
