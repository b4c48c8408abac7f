"""What ``resilient poison`` says, and what it still shows, where AWS refuses something."""

from __future__ import annotations

import json

import pytest
from poison_world import SHARD, World

TO_HANDLER = ("--to", "handler", "--function", "Orders")


@pytest.mark.parametrize(
    ("service", "call", "permission"),
    [
        ("sqs", "receive_message", "sqs:ReceiveMessage"),
        ("sqs", "get_queue_attributes", "sqs:GetQueueAttributes"),
        ("sqs", "change_message_visibility_batch", "sqs:ChangeMessageVisibility"),
        ("sqs", "get_queue_url", "sqs:GetQueueUrl"),
    ],
)
def test_what_aws_refuses_is_one_line_with_the_permission(
    world: World, service: str, call: str, permission: str
) -> None:
    """No traceback: the line names what was refused and the grant that allows it, and the exit code tells."""
    world.keep(1)
    world.refuses(world.patch, service, call)
    result = world.run("list", "--queue", world.url.rpartition("/")[2])
    assert result.exit_code == 2
    assert f"resilient: AWS refuses {permission} on " in result.output
    assert "grant_replay" in result.output
    assert len(result.stderr.splitlines()) == 1


def test_a_name_is_looked_up_without_listing_all_queues(world: World) -> None:
    """Who may not list the account's queues names theirs; who names none is told to."""
    world.keep(1)
    world.refuses(world.patch, "sqs", "get_paginator")
    assert world.run("list", "--queue", "Shop-OrdersPoisonQueue1A2B").exit_code == 0
    result = world.run("list")
    assert result.exit_code == 2
    assert "name the poison queue with --queue" in result.output


def test_a_queue_that_is_not_there_is_named(world: World) -> None:
    """A mistyped name is told as such."""
    result = world.run("list", "--queue", "Nobody")
    assert result.exit_code == 2
    assert "there is no queue 'Nobody'" in result.output


def test_an_object_that_cannot_be_read_hides_no_other(world: World) -> None:
    """It is listed with the reason and stays, with all that follows it; other keys are done."""
    world.keep(1, "a", size=1_000_000)
    world.keep(2, "a")
    world.keep(3, "b")
    with world.patch.context() as patch:
        world.refuses(patch, "s3", "get_object", "AccessDenied")
        listed = [json.loads(line) for line in world.run("list", "--json").stdout.splitlines()]
        assert [one["sequence_number"] for one in listed] == ["1", "2", "3"]
        assert "AWS refuses s3:GetObject on s3://poison/" in listed[0]["unreadable"]
        assert "unreadable" in world.run("show", f"{SHARD}:1").stdout
        result = world.run("replay", "--all", *TO_HANDLER)
        assert result.exit_code == 1
        assert "AWS refuses s3:GetObject" in result.output
        assert world.ids() == ["1", "2"]
        result = world.run("discard", "--all", "--reason", "x")
        assert result.exit_code == 1
        assert f"{SHARD}:1 stays: AWS refuses s3:GetObject" in result.output
        assert world.ids() == ["1"]
    assert world.run("replay", "--all", *TO_HANDLER).exit_code == 0
    assert world.ids() == []


def test_an_object_that_cannot_be_deleted_leaves_its_record_done(world: World) -> None:
    """The record is out of the queue, and the object that stays is told of; nothing is done twice."""
    world.keep(1, size=1_000_000)
    world.refuses(world.patch, "s3", "delete_object", "AccessDenied")
    result = world.run("replay", "--all", *TO_HANDLER)
    assert result.exit_code == 1
    assert "AWS refuses s3:DeleteObject on s3://poison/" in result.output
    assert world.ids() == []


def test_an_object_that_is_no_entry_hides_no_other(world: World) -> None:
    """Something else that lies where a record was is told of, and left."""
    world.keep(1, size=1_000_000)
    world.keep(2, "b")
    world.s3.put_object(Bucket="poison", Key=f"poison/{SHARD}/1.json", Body=b"hello")
    assert world.run("replay", "--all", *TO_HANDLER).exit_code == 1
    assert world.ids() == ["1"]


def test_a_function_that_may_not_be_invoked_is_told_with_the_permission(world: World) -> None:
    """The records stay, and the line names the permission."""
    world.keep(1)
    world.refuses(world.patch, "function", "invoke")
    result = world.run("replay", "--all", *TO_HANDLER)
    assert result.exit_code == 1
    assert "stays: AWS refuses lambda:InvokeFunction on Orders" in result.output
    assert world.ids() == ["1"]
