"""All six packs of cdk-nag over every example: nothing unacknowledged, nothing acknowledged in vain."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from breaker_workflows import orchestrate
from configured_consumer import configure
from guarded_consumer import guard
from parallel_works import fan_out
from shedding_consumer import shed
from stream_consumers import follow, stream

from examples.courier import CourierStack
from examples.documents import DocumentsStack
from resilient_constructs import Handler, OnCall, ResilientFunction
from resilient_constructs.nag import acknowledge

REPOSITORY = Path(__file__).parents[2]
PACKS: dict[str, Any] = {
    "AwsSolutions": cdk_nag.AwsSolutionsChecks,
    "Serverless": cdk_nag.ServerlessChecks,
    "HIPAA.Security": cdk_nag.HIPAASecurityChecks,
    "NIST.800.53.R4": cdk_nag.NIST80053R4Checks,
    "NIST.800.53.R5": cdk_nag.NIST80053R5Checks,
    "PCI.DSS.321": cdk_nag.PCIDSS321Checks,
}
FEWEST_WORDS = 12

Finding = tuple[str, str]
"""Construct path and rule ID."""


@dataclass(frozen=True)
class Acknowledged:
    """One acknowledgement as it was made."""

    finding: Finding
    reason: str


class _Pen:
    """Stands in for ``Validations.of(construct)``: notes the acknowledgements instead of making them."""

    def __init__(self, construct: Any, notes: list[Acknowledged]) -> None:
        self._path = str(construct.node.path)
        self._notes = notes

    def acknowledge(self, *given: Any) -> None:
        self._notes += [Acknowledged((self._path, one.id), one.reason) for one in given]


def findings_of(stack: Stack) -> set[Finding]:
    """What all packs find, and nobody acknowledged."""
    return {
        (resource.construct_path, violation.rule_name)
        for pack in PACKS.values()
        for violation in pack(stack.node.root).validate_scope(stack).violations
        for resource in violation.violating_resources
    }


@pytest.fixture(scope="module")
def notes() -> list[Acknowledged]:
    """The examples' acknowledgements, filled by ``raw``."""
    return []


@pytest.fixture(scope="module")
def raw(notes: list[Acknowledged]) -> set[Finding]:
    """What the packs find on the examples when acknowledgements are written down instead of taking effect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validations, "of", staticmethod(lambda construct: _Pen(construct, notes)))
        stack = CourierStack(App(), "Courier")
    return findings_of(stack)


def test_every_finding_is_acknowledged_and_nothing_else(raw: set[Finding], notes: list[Acknowledged]) -> None:
    """The acknowledgements are exactly the findings, each on its own resource and by its exact ID, once."""
    assert sorted(one.finding for one in notes) == sorted(raw)


def test_every_acknowledgement_has_a_reason(raw: set[Finding], notes: list[Acknowledged]) -> None:
    """A reason is a sentence that says why the rule does not fit, not a word to silence it."""
    assert raw
    assert {one.finding: one.reason for one in notes if len(one.reason.split()) < FEWEST_WORDS} == {}


def test_the_readme_tells_how_many_there_are(raw: set[Finding], notes: list[Acknowledged]) -> None:
    """The figures of the README are the numbers of acknowledgements, pack by pack."""
    counted = Counter(next(pack for pack in PACKS if rule.startswith(pack)) for _, rule in raw)
    text = (REPOSITORY / "README.md").read_text()
    block = re.search(r"<!-- nag-figures -->\n(.*?)\n\n", text + "\n\n", re.DOTALL)
    assert block, f"README.md has no <!-- nag-figures --> block; the figures are {dict(counted)}"
    rows = re.findall(r"^\|\s*([^|]+?)\s*\|\s*(\d+)\s*\|$", block[1], re.MULTILINE)
    assert {pack: int(number) for pack, number in rows} == dict(counted)


_WITH_PACKS = """
import cdk_nag
from aws_cdk import App, Validations
from aws_cdk import aws_sqs as sqs
from courier import CourierStack

app = App()
stack = CourierStack(app, "Courier")
{more}
Validations.of(app).add_plugins(*(getattr(cdk_nag, name)(app) for name in {packs!r}))
app.synth()
"""


def synth_with_packs(tmp_path: Path, *, more: str = "") -> subprocess.CompletedProcess[str]:
    """Synthesize the courier example as a user would, with the packs as plugins and CDK's validation on."""
    code = _WITH_PACKS.format(more=more, packs=[pack.__name__ for pack in PACKS.values()])
    environment = {name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"}
    environment["CDK_OUTDIR"] = str(tmp_path)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(REPOSITORY), str(REPOSITORY / "runtime"), str(REPOSITORY / "examples")]
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_example_synthesizes_with_all_packs(tmp_path: Path) -> None:
    """With the six packs as plugins and every acknowledgement in force, synthesis passes."""
    done = synth_with_packs(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_an_unacknowledged_finding_stops_the_synthesis(tmp_path: Path) -> None:
    """An unencrypted queue in the same stack is covered by no acknowledgement: the packs report it."""
    done = synth_with_packs(tmp_path, more='sqs.CfnQueue(stack, "Planted", sqs_managed_sse_enabled=False)')
    assert done.returncode != 0
    assert "AwsSolutions-SQS2" in done.stdout + done.stderr


def test_an_acknowledgement_stays_on_its_resource() -> None:
    """What is acknowledged for the example's own topic says nothing about another topic in the stack."""
    stack = CourierStack(App(), "Courier")
    assert findings_of(stack) == set()
    sns.Topic(stack, "Planted")
    assert {path for path, _ in findings_of(stack)} == {"Courier/Planted/Resource"}


def test_an_asynchronous_functions_findings_are_known() -> None:
    """A function with an on-failure queue has by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    function = ResilientFunction(stack, "Worker", handler=handler, asynchronous=True, on_call=on_call)
    acknowledge(on_call, function)
    assert findings_of(stack) == set()


def test_a_configured_consumers_findings_are_known() -> None:
    """With parameters, secrets, a table and leave to update itself, there are by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    consumer = configure(stack, handler=handler, on_call=on_call)
    acknowledge(on_call, consumer)
    of_ours = {finding for finding in findings_of(stack) if finding[0].startswith(consumer.node.path)}
    assert of_ours == set()


def test_a_guarded_consumers_findings_are_known() -> None:
    """With a breaker, its table and its controller, there are by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    acknowledge(on_call, *guard(stack, handler=handler, on_call=on_call))
    assert findings_of(stack) == set()


@pytest.mark.parametrize("keyed", [False, True])
def test_a_shedding_consumers_findings_are_known(keyed: bool) -> None:
    """With an archive, under a customer key or none, and an urgent lane: by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    key = kms.Key(stack, "Key", enable_key_rotation=True) if keyed else None
    acknowledge(on_call, *shed(stack, handler=handler, on_call=on_call, encryption_key=key))
    assert findings_of(stack) == set()


@pytest.mark.parametrize("keyed", [False, True])
def test_a_stream_consumers_findings_are_known(keyed: bool) -> None:
    """With its store, its resolver and its parked keys, under a customer key or none: by-design only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    key = kms.Key(stack, "Key", enable_key_rotation=True) if keyed else None
    acknowledge(on_call, *stream(stack, handler=handler, on_call=on_call, encryption_key=key))
    assert findings_of(stack) == set()


def test_a_table_consumers_findings_are_known() -> None:
    """Of a table's stream too; the table itself is the app's."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    consumer = follow(stack, handler=handler, on_call=on_call)
    acknowledge(on_call, consumer)
    of_ours = {finding for finding in findings_of(stack) if finding[0].startswith(consumer.node.path)}
    assert of_ours == set()


def test_workflows_findings_are_known() -> None:
    """Whatever starts them and whatever they call, there are by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    ours = orchestrate(stack, handler=handler, on_call=on_call)
    acknowledge(on_call, *ours)
    paths = tuple(f"{one.node.path}/" for one in ours)
    assert {finding for finding in findings_of(stack) if finding[0].startswith(paths)} == set()


def test_batches_findings_are_known() -> None:
    """Inline and from S3, there are by-design findings only."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall")
    handler = Handler.from_directory(
        str(REPOSITORY / "examples" / "handlers" / "delivery"), "delivery.deliver"
    )
    ours = fan_out(stack, handler=handler, on_call=on_call)
    acknowledge(on_call, *ours)
    paths = tuple(f"{one.node.path}/" for one in ours)
    assert {finding for finding in findings_of(stack) if finding[0].startswith(paths)} == set()


def test_the_documents_findings_are_acknowledged_and_nothing_else() -> None:
    """As for the courier: exactly the findings, each on its own resource, and each with a reason."""
    written: list[Acknowledged] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validations, "of", staticmethod(lambda construct: _Pen(construct, written)))
        stack = DocumentsStack(App(), "Documents")
    assert sorted(one.finding for one in written) == sorted(findings_of(stack))
    assert {one.finding for one in written if len(one.reason.split()) < FEWEST_WORDS} == set()
