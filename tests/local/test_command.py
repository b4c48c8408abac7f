"""``resilient local deploy``, as it is typed."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilient_constructs.local import daemon
from resilient_constructs.local.command import local

_APP = """
import aws_cdk as cdk
from aws_cdk import aws_sqs as sqs
app = cdk.App()
stack = cdk.Stack(app, "Shop")
queue = sqs.Queue(stack, "Queue", retention_period=cdk.Duration.days(int(app.node.get_context("days"))))
cdk.CfnOutput(stack, "QueueUrl", value=queue.queue_url)
cdk.CfnOutput(stack, "ApiUrl", value="https://abc123.execute-api.us-east-1.amazonaws.com/prod/")
app.synth()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a CDK app, and a runtime directory of its own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr(daemon.up, "__kwdefaults__", {"port": free.getsockname()[1], "auth": True})
    (tmp_path / "app.py").write_text(_APP)
    (tmp_path / "cdk.json").write_text(json.dumps({"app": f"{sys.executable} app.py"}))
    (tmp_path / "node_modules").symlink_to(Path(__file__).parents[2] / "node_modules")
    yield tmp_path
    daemon.down()


@pytest.mark.local
def test_one_command_deploys_and_says_what_differs(folder: Path) -> None:
    """A local AWS is started where none runs; stacks, outputs and the API's local URL are printed."""
    done = CliRunner().invoke(local, ["deploy", "-c", "days=3"])
    assert done.exit_code == 0, done.output
    found = daemon.running()
    assert found is not None
    [url] = found.aws.client("sqs").list_queues()["QueueUrls"]
    assert f"deployed to {found.aws.endpoint}: Shop\n" in done.output
    assert f"Shop.QueueUrl = {url}" in done.output
    assert f"(here: {found.aws.endpoint}/restapis/abc123/prod/_user_request_)" in done.output


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["deploy"], None, "there is no cdk.json"),
        (["deploy"], "{}", 'cdk.json has no "app"'),
        (["deploy"], "{", "cdk.json is no JSON"),
        (["deploy", "--app", "true", "-c", "days"], None, "--context takes name=value, not 'days'"),
    ],
)
def test_wrong_words_are_told_before_anything_starts(
    arguments: list[str],
    settings: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing or odd cdk.json, or a context value without a value, is one clear line and starts nothing."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if settings is not None:
        (tmp_path / "cdk.json").write_text(settings)
    done = CliRunner().invoke(local, arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert daemon.running() is None
