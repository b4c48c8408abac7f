"""``resilient poison`` beside somebody else who is at work on the same store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from poison_world import SHARD, STREAM, World

from resilient_constructs.operate.errors import OperateError
from resilient_constructs.operate.parked import ParkedTables
from resilient_constructs.operate.poison import QueuedPoison
from resilient_constructs.operate.poison_entries import Entry
from resilient_constructs.operate.removal import Removal
from resilient_constructs.operate.replay import Replayed, replay


class FakeStore:
    """A store that is in memory; what is in ``lost`` cannot be hidden any longer."""

    def __init__(self) -> None:
        self.hidden = 0
        self.lost: set[str] = set()
        self.held: list[list[str]] = []
        self.removed: list[str] = []
        self.refuses = False

    def take(self) -> list[Entry]:
        """See ``PoisonStore``."""
        return []

    def hold(self, entries: Iterable[Entry]) -> list[Entry]:
        """See ``PoisonStore``."""
        asked = list(entries)
        self.held.append([entry.id for entry in asked])
        return [entry for entry in asked if entry.key in self.lost]

    def release(self, entries: Iterable[Entry]) -> None:
        """See ``PoisonStore``."""

    def remove(self, entry: Entry) -> None:
        """See ``PoisonStore``."""
        if self.refuses:
            raise OperateError("AWS refuses sqs:DeleteMessage")
        self.removed.append(entry.id)


class FakeTarget:
    """Takes one record a step."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, entries: Sequence[Entry]) -> tuple[int, str]:
        """See ``Target``."""
        self.taken.append(entries[0].id)
        return 1, ""


def entry(sequence: int, key: str = "k", **more: Any) -> Entry:
    """A record in the store."""
    told = {"stream": STREAM, "shard": SHARD, "sequence_number": str(sequence), "partition_key": key}
    return Entry(told={**told, "record": {}}, receipts=(str(sequence),), **more)


def replayed(store: FakeStore, entries: Sequence[Entry], target: FakeTarget) -> list[Replayed]:
    """What became of these, of which no key is parked."""
    keys = ParkedTables(lambda service: pytest.fail(f"{service} is not needed"))
    return list(replay(store, Removal(store, entries, keys, print), entries, target))


def test_a_part_of_a_key_is_not_done_before_what_somebody_else_holds(world: World) -> None:
    """While earlier records of a key are hidden, the later ones are neither replayed nor discarded."""
    world.park(10, 11, 12, 13)
    world.hides(10, 11)
    for words in (
        ("replay", "--key", "k", "--to", "handler", "--function", "Orders"),
        ("replay", f"{SHARD}:12", "--to", "handler", "--function", "Orders"),
        ("discard", "--key", "k", "--reason", "x"),
    ):
        result = world.run(*words)
        assert result.exit_code == 2
        assert "nothing was done: 2 more are hidden" in result.output
        assert " UTC" in result.output
    assert world.function.events == []
    assert world.parked() == {"k"}
    assert world.ids() == ["12", "13"]


def test_a_store_of_which_all_is_hidden_is_not_called_empty(world: World) -> None:
    """The list says what it cannot show, also beside what it can, and so does a look at one record."""
    world.keep(1)
    world.keep(2)
    world.hides(1)
    assert "1 more are hidden" in world.run("list").output
    assert "1 more are hidden" in world.run("show", f"{SHARD}:2").output
    world.hides(2)
    result = world.run("list")
    assert "2 more are hidden" in result.output
    assert "empty" not in result.output


def test_what_is_put_back_while_sqs_counts_late_stops_nobody(world: World) -> None:
    """A count that is too high at first, and right when it is asked again, is no reason to refuse."""
    world.keep(1)
    counts = iter([3, 2, 0])
    real = world.sqs.get_queue_attributes

    def counted(**arguments: Any) -> Any:
        answer = real(**arguments)
        late = next(counts, None)
        if late is not None:
            answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"] = str(late)
        return answer

    world.patch.setattr(world.sqs, "get_queue_attributes", counted)
    assert world.run("replay", "--all", "--to", "stream").exit_code == 0


def test_a_key_is_not_freed_without_the_record_it_waits_for(world: World) -> None:
    """Where the count did not tell of what is hidden, its key stays parked, and it is said how to free it."""
    world.park(10, 11)
    world.hides(10)
    uncounted = {"Attributes": {"ApproximateNumberOfMessagesNotVisible": "0"}}
    world.patch.setattr(world.sqs, "get_queue_attributes", lambda **_: uncounted)
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert f"it waits for {SHARD}:10" in result.output
    assert "resilient poison free --key k --table Parked" in result.output
    assert world.parked() == {"k"}


@pytest.mark.parametrize("to", [("handler", "--function", "Orders"), ("stream",)])
def test_a_record_does_not_overtake_the_earlier_ones_of_its_key(world: World, to: tuple[str, ...]) -> None:
    """One that is named alone is not replayed while earlier ones of its key are there; they are named."""
    for sequence in (10, 11, 12):
        world.keep(sequence)
    result = world.run("replay", f"{SHARD}:12", f"{SHARD}:11", "--to", *to)
    assert result.exit_code == 2
    assert f"{SHARD}:12 comes after {SHARD}:10 of key 'k'" in result.output
    assert world.ids() == ["10", "11", "12"]
    assert world.run("replay", f"{SHARD}:10", "--to", *to).exit_code == 0
    assert world.ids() == ["11", "12"]


def test_before_each_step_what_is_left_of_a_key_is_held() -> None:
    """A step begins only when its record and all later ones of its key are hidden for as long as it takes."""
    store, target = FakeStore(), FakeTarget()
    replayed(store, [entry(1), entry(2), entry(3, "other")], target)
    assert store.held == [[f"{SHARD}:1", f"{SHARD}:2"], [f"{SHARD}:2"], [f"{SHARD}:3"]]
    assert target.taken == [f"{SHARD}:1", f"{SHARD}:2", f"{SHARD}:3"]


def test_a_key_that_cannot_be_held_is_left_alone() -> None:
    """What others may have seen is not done; it stays, it is said why, and other keys are done."""
    store, target = FakeStore(), FakeTarget()
    store.lost = {"a"}
    results = replayed(store, [entry(1, "a"), entry(2, "a"), entry(3, "b")], target)
    assert target.taken == [f"{SHARD}:3"]
    assert [one.entry.id for one in results if one.problem] == [f"{SHARD}:1", f"{SHARD}:2"]
    assert "others may have it" in str(results[0].problem)


def test_what_is_done_and_cannot_be_taken_out_ends_its_key() -> None:
    """Where SQS keeps a record that was done, it is said so, and nothing of its key follows."""
    store, target = FakeStore(), FakeTarget()
    store.refuses = True
    results = replayed(store, [entry(1), entry(2)], target)
    assert target.taken == [f"{SHARD}:1"]
    assert "may be done once more" in str(results[0].problem)
    assert results[1].problem == "an earlier record of its key stays"


def test_sqs_refusing_to_hide_a_record_stops_its_replay(world: World) -> None:
    """A message that SQS does not let be hidden any longer is not handed to the handler."""
    world.keep(1)
    real = world.sqs.change_message_visibility_batch

    def refused(**arguments: Any) -> Any:
        if arguments["Entries"][0]["VisibilityTimeout"] == 0:
            return real(**arguments)
        failed = [{"Id": one["Id"], "Code": "MessageNotInflight"} for one in arguments["Entries"]]
        return {"Failed": failed}

    world.patch.setattr(world.sqs, "change_message_visibility_batch", refused)
    result = world.run("replay", "--all", "--to", "handler", "--function", "Orders")
    assert result.exit_code == 1
    assert "others may have it" in result.output
    assert world.function.events == []


def test_what_was_hidden_for_too_long_is_neither_held_nor_put_back(world: World) -> None:
    """An old receipt is not used once others may have the message: it could take it away from them."""
    clock = [1_000.0]
    world.keep(1)
    store = QueuedPoison(world.url, lambda service: getattr(world, service), now=lambda: clock[0])
    entries = store.take()
    clock[0] += 800
    assert store.hold(entries) == []
    clock[0] += 1_000
    assert store.hold(entries) == []
    clock[0] += 1_201
    asked: list[Any] = []
    world.patch.setattr(world.sqs, "change_message_visibility_batch", lambda **given: asked.append(given))
    assert store.hold(entries) == entries
    store.release(entries)
    assert asked == []


def test_a_replay_to_the_handler_is_one_step_an_invocation(world: World) -> None:
    """More records of a key than an invocation takes are several steps, and all are done in order."""
    for sequence in range(1, 102):
        world.keep(sequence)
    assert world.run("replay", "--all", "--to", "handler", "--function", "Orders").exit_code == 0
    assert [len(event["Records"]) for event in world.function.events] == [100, 1]
