"""Policies against calls. Pure: neither Node nor server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilient_constructs.local.permissions import judge
from resilient_constructs.local.policies import Statement, statements_of
from resilient_constructs.local.recorder import Call

ROLE = "arn:aws:iam::000000000000:role/worker"
SESSION = "arn:aws:sts::000000000000:assumed-role/worker/session"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:work"
RULE = "arn:aws:events:us-east-1:000000000000:rule/r"
KEY = "arn:aws:kms:us-east-1:000000000000:key/k"


def identity(*statements: dict[str, Any]) -> list[Statement]:
    """The worker's own policy."""
    return statements_of({"Statement": list(statements)}, owner=ROLE, policy="inline")


def resource(owner: str, *statements: dict[str, Any]) -> list[Statement]:
    """A resource's policy."""
    return statements_of({"Statement": list(statements)}, owner=owner, policy="resource policy")


def call(principal: str = SESSION, action: str = "sqs:SendMessage", on: str = QUEUE, **context: str) -> Call:
    """One recorded call."""
    named = {key.replace("_", ":", 1): value for key, value in context.items()}
    return Call(principal=principal, action=action, resource=on, allowed=True, context=named)


SEND = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE}


def test_granted_call() -> None:
    """A call that a statement allows is neither denied, nor is its grant unused."""
    proof = judge([call()], identity(SEND))
    assert (proof.denied, proof.unused, proof.judged) == ((), (), 1)


def test_missing_grant() -> None:
    """A call that no statement allows is reported, the same one once."""
    proof = judge([call(action="sqs:PurgeQueue"), call(action="sqs:PurgeQueue")], identity(SEND))
    assert [denied.action for denied in proof.denied] == ["sqs:PurgeQueue"]


def test_refused_by_the_emulator() -> None:
    """A call that was refused is reported, although the policies read here allow it."""
    refused = replace(call(), allowed=False)
    assert judge([refused], identity(SEND)).denied == (refused,)


def test_unknown_operator() -> None:
    """A condition operator that is not known here is an error, not a guess."""
    statement = {**SEND, "Condition": {"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}}
    with pytest.raises(ValueError, match="'DateLessThan' is not known here"):
        judge([call()], identity(statement))


def test_unused_grant() -> None:
    """A grant that no call needed is reported by action and resource."""
    statement = {**SEND, "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"]}
    assert [grant.action for grant in judge([call()], identity(statement)).unused] == ["sqs:GetQueueUrl"]


def test_wildcards_are_told() -> None:
    """A wildcard in an action, or every resource, is told even when it is used."""
    statement = {"Effect": "Allow", "Action": "sqs:Send*", "Resource": "*"}
    proof = judge([call()], identity(statement))
    assert (proof.denied, len(proof.broad)) == ((), 1)


def test_deny_wins() -> None:
    """A denial in the resource's policy beats a grant in the role's."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE}
    assert len(judge([call()], identity(SEND) + resource(QUEUE, deny)).denied) == 1


def test_plain_http_deny_leaves_tls_alone() -> None:
    """A denial of plain HTTP does not concern a call over TLS."""
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": QUEUE,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    assert judge([call()], identity(SEND) + resource(QUEUE, deny)).denied == ()


@pytest.mark.parametrize(("source", "denied"), [(RULE, 0), (RULE + "-other", 1)])
def test_service_needs_its_source(source: str, denied: int) -> None:
    """A service may do what the resource's policy allows for this source, and no other."""
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE}},
    }
    proof = judge([call("events.amazonaws.com", aws_SourceArn=source)], resource(QUEUE, allow))
    assert len(proof.denied) == denied


def test_service_is_not_served_by_a_role() -> None:
    """What a role may do does not help a service that calls in its own name."""
    other = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "sqs:*", "Resource": QUEUE}
    proof = judge([call("events.amazonaws.com")], identity(SEND) + resource(QUEUE, other))
    assert len(proof.denied) == 1


@pytest.mark.parametrize(("delegates", "denied"), [(True, 0), (False, 1)])
def test_key_policy_has_to_agree(delegates: bool, denied: int) -> None:
    """A role's grant on a key counts only when the key's policy hands the decision to the account."""
    decrypt = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}
    who = "arn:aws:iam::000000000000:root" if delegates else "arn:aws:iam::111111111111:root"
    root = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "kms:*", "Resource": KEY}
    proof = judge([call(action="kms:Decrypt", on=KEY)], identity(decrypt) + resource(KEY, root))
    assert len(proof.denied) == denied


def test_a_policy_for_the_account_allows_no_role() -> None:
    """A key policy that hands the decision to the account allows nothing that no role's policy allows."""
    root = {"AWS": "arn:aws:iam::000000000000:root"}
    handed_on = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": KEY}
    assert (
        len(judge([call(action="kms:Decrypt", on=KEY)], identity(SEND) + resource(KEY, handed_on)).denied)
        == 1
    )


def test_absent_condition_key() -> None:
    """A condition on a key that the call lacks is not met, unless it says IfExists."""
    condition = {"StringEquals": {"aws:SourceAccount": "1"}}
    statement = {**SEND, "Condition": condition}
    assert len(judge([call()], identity(statement)).denied) == 1
    statement = {**SEND, "Condition": {"StringEqualsIfExists": condition["StringEquals"]}}
    assert judge([call()], identity(statement)).denied == ()


def test_unknown_operator_is_refused() -> None:
    """A condition operator that nobody taught the evaluator is an error, not a guess."""
    statement = {**SEND, "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": "1"}}}
    with pytest.raises(ValueError, match="NumericLessThan"):
        judge([call()], identity(statement))


def test_negated_elements_are_refused() -> None:
    """A statement that allows whatever is not listed has no place in a least-privilege policy."""
    with pytest.raises(ValueError, match="NotAction"):
        identity({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})


def test_strangers_are_left_out() -> None:
    """Calls of principals that the stack did not make are not judged."""
    assert judge([call("arn:aws:iam::000000000000:root")], identity(SEND)).judged == 0


def test_a_role_without_any_policy_is_judged() -> None:
    """A role of the stack that was granted nothing at all is judged, and each of its calls is denied."""
    assert judge([call()], []).judged == 0
    assert len(judge([call()], [], owners=[ROLE]).denied) == 1


def test_a_resource_without_any_policy_is_judged() -> None:
    """A service's call to a queue of the stack that has no policy is denied."""
    assert len(judge([call("events.amazonaws.com")], [], owners=[QUEUE]).denied) == 1
