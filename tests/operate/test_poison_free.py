"""Keys that are parked: whatever is killed or refused, there is a command that frees them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from poison_world import SHARD, STREAM, World

from resilient_constructs.operate.errors import OperateError
from resilient_constructs.operate.parked import Parked
from resilient_constructs.operate.poison_entries import Entry
from resilient_constructs.operate.removal import Removal

TO_HANDLER = ("--to", "handler", "--function", "Orders")


class Killed(BaseException):
    """The process is gone."""


class Kept:
    """A store and a parked key that outlive whoever works on them; the process dies after so many calls."""

    def __init__(self, count: int) -> None:
        self.entries = [self._entry(sequence) for sequence in range(1, count + 1)]
        self.parked: Parked | None = Parked("T", "k", "key:k", 1.0, f"{SHARD}:1", str(count))
        self.hidden = 0
        self.calls_left = 0

    @staticmethod
    def _entry(sequence: int) -> Entry:
        told = {"stream": STREAM, "shard": SHARD, "sequence_number": str(sequence), "partition_key": "k"}
        return Entry(told={**told, "parked_table": "T", "record": {}})

    def run(self, step: int, calls: int) -> bool:
        """Replay all in steps of so many; False when it died after so many calls."""
        self.calls_left = calls
        removal = Removal(self, self.entries, self, lambda _: None)  # type: ignore[arg-type]
        try:
            for start in range(0, len(todo := list(self.entries)), step):
                assert removal.remove(todo[start : start + step]) == ""
        except Killed:
            return False
        return True

    def _call(self) -> None:
        if self.calls_left == 0:
            raise Killed
        self.calls_left -= 1

    def remove(self, entry: Entry) -> None:
        """See ``PoisonStore``."""
        self._call()
        self.entries = [one for one in self.entries if one is not entry]

    def of(self, entries: Any) -> Parked | None:
        """See ``ParkedTables``."""
        return self.parked

    def wait_for(self, parked: Parked, entry: Entry) -> None:
        """See ``ParkedTables``."""
        self._call()
        self.parked = parked._replace(record=entry.id)

    def free(self, parked: Parked, *, up_to: str | None) -> bool:
        """See ``ParkedTables``."""
        self._call()
        self.parked = None
        return True


@given(count=st.integers(1, 5), deaths=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), max_size=8))
def test_a_replay_that_is_killed_at_any_call_can_be_done_again(
    count: int, deaths: list[tuple[int, int]]
) -> None:
    """A parked key waits at every moment for a record that is in the store, and the last replay frees it."""
    kept = Kept(count)
    for step, calls in deaths:
        kept.run(step, calls)
        assert kept.parked is None or kept.parked.record in {entry.id for entry in kept.entries}
    assert kept.run(1, 100)
    assert kept.entries == []
    assert kept.parked is None


def test_where_the_table_refuses_the_same_command_frees_the_key_later(world: World) -> None:
    """A key that could not be freed keeps its last record, and the same command finds that."""
    world.park(1, 2)
    with world.patch.context() as patch:
        world.refuses(patch, "dynamodb", "transact_write_items", "ProvisionedThroughputExceededException")
        result = world.run("replay", "--all", *TO_HANDLER)
        assert result.exit_code == 1
        assert "Run the same command again" in result.output
        assert world.ids() == ["2"]
    result = world.run("replay", "--all", *TO_HANDLER)
    assert result.exit_code == 0, result.output
    assert world.parked() == set()
    assert world.ids() == []


def test_a_parked_key_goes_on_when_its_records_are_discarded_one_by_one(world: World) -> None:
    """A key goes on after its last record was given up, also when the first was not the first to go."""
    world.park(1, 2, 3)
    for sequence in (2, 1, 3):
        assert world.parked() == {"k"}
        assert world.run("discard", f"{SHARD}:{sequence}", "--reason", "x").exit_code == 0
    assert world.parked() == set()


def test_a_key_whose_last_record_was_discarded_first_can_be_freed(world: World) -> None:
    """The table knows of a record that is in no store any more, so the command to free the key is told."""
    world.park(1, 2)
    assert world.run("discard", f"{SHARD}:2", "--reason", "x").exit_code == 0
    result = world.run("replay", "--all", *TO_HANDLER)
    assert result.exit_code == 1
    assert "resilient poison free --key k --table Parked" in result.output
    assert world.ids() == []
    assert world.run("free", "--key", "k", "--table", "Parked", "--reason", "x").exit_code == 0
    assert world.parked() == set()


def test_a_parked_key_without_a_record_is_listed_and_freed(world: World) -> None:
    """A key that waits for what is nowhere is shown with the command that frees it, with a reason."""
    world.park(1)
    world.sqs.purge_queue(QueueUrl=world.url)
    assert "resilient poison free --key k --table Parked" in world.run("list", "--table", "Parked").output
    assert world.run("free", "--key", "k", "--reason", " ").exit_code == 2
    assert world.parked() == {"k"}
    result = world.run("free", "--key", "k", "--table", "Parked", "--reason", "SQS deleted it")
    assert result.exit_code == 0, result.output
    assert "SQS deleted it" in result.output
    assert world.parked() == set()
    assert world.run("list", "--table", "Parked").output == "the poison store is empty\n"


def test_the_list_knows_the_tables_that_records_name(world: World) -> None:
    """A stuck key is listed without a table's name, where another record names the table."""
    world.park(1, key="stuck")
    world.sqs.purge_queue(QueueUrl=world.url)
    world.park(2, key="fine")
    said = world.run("list").output
    assert "key 'stuck' is parked, and nothing of it is in the store" in said
    assert "'fine' is parked" not in said


def test_a_key_of_which_something_is_in_the_store_is_not_freed(world: World) -> None:
    """What waits in the store would be overtaken, so it is named, also where somebody else holds it."""
    world.park(1, 2)
    result = world.run("free", "--key", "k", "--table", "Parked", "--reason", "x")
    assert result.exit_code == 2
    assert f"{SHARD}:1, {SHARD}:2" in result.output
    world.hides(1, 2)
    result = world.run("free", "--key", "k", "--table", "Parked", "--reason", "x")
    assert result.exit_code == 2
    assert "2 more are hidden" in result.output
    assert world.parked() == {"k"}


def test_a_key_that_was_parked_just_now_is_not_freed(world: World) -> None:
    """It is parked before its record is kept, so for a minute that may be on its way."""
    world.keys.add("k", world.record(1))
    result = world.run("free", "--key", "k", "--table", "Parked", "--reason", "x")
    assert result.exit_code == 2
    assert "Try again in a minute" in result.output
    assert "is parked" not in world.run("list", "--table", "Parked").output


def test_a_key_that_is_not_parked_is_no_success(world: World) -> None:
    """Whoever mistypes a key is told, and not that it goes on."""
    result = world.run("free", "--key", "K", "--table", "Parked", "--reason", "x")
    assert result.exit_code == 2
    assert "key 'K' is not parked in Parked" in result.output


def test_the_only_table_of_parked_keys_is_found(world: World) -> None:
    """Without ``--table`` it is the one that a consumer made; where there is none, it is asked for."""
    result = world.run("free", "--key", "k", "--reason", "x")
    assert result.exit_code == 2
    assert "Give --table" in result.output
    world.dynamodb.create_table(
        TableName="Shop-OrdersParkedKeys1A2B",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert (
        "not parked in Shop-OrdersParkedKeys1A2B" in world.run("free", "--key", "k", "--reason", "x").output
    )


def test_records_of_a_table_that_is_gone_are_replayed(world: World) -> None:
    """A consumer that no longer parks leaves records that name its table, and nothing to free."""
    world.keep(1, parked_table="Gone")
    assert world.run("replay", "--all", *TO_HANDLER).exit_code == 0
    assert world.ids() == []


def test_which_keys_wait_is_known_before_anything_is_done(world: World) -> None:
    """Where the table cannot be read, nothing is replayed or discarded, and all is listed."""
    world.park(1)
    scanning = world.dynamodb.get_paginator

    def refused(call: str) -> Any:
        if call == "scan":
            raise OperateError("AWS refuses dynamodb:Scan on Parked")
        return scanning(call)

    world.patch.setattr(world.dynamodb, "get_paginator", refused)
    for words in (("replay", "--all", *TO_HANDLER), ("discard", "--all", "--reason", "x")):
        result = world.run(*words)
        assert result.exit_code == 2
        assert "dynamodb:Scan on Parked" in result.output
    assert world.function.events == []
    assert world.ids() == ["1"]


def test_a_key_goes_on_although_the_object_of_its_poison_is_gone(world: World) -> None:
    """What points at nothing still says where its key is parked, which is free when that is discarded."""
    world.keys.add("k", world.record(1))
    world.keep(1, size=1_000_000, parked_table="Parked")
    world.s3.delete_object(Bucket="poison", Key=f"poison/{SHARD}/1.json")
    assert world.run("discard", "--all", "--reason", "x").exit_code == 0
    assert world.parked() == set()


@pytest.mark.parametrize("digest", [False, True])
def test_a_key_is_found_by_its_own_name_or_beside_its_digest(world: World, digest: bool) -> None:
    """A key that is too long to name its item stands in it."""
    name = "key:sha256:1f" if digest else "key:k"
    item = {"name": {"S": name}, "since": {"N": "1"}, "record": {"S": f"{SHARD}:1"}}
    world.dynamodb.put_item(TableName="Parked", Item=item | ({"key": {"S": "k"}} if digest else {}))
    assert "key 'k' is parked" in world.run("list", "--table", "Parked").output
