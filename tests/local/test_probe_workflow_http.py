"""Probes of tasks that call an HTTP endpoint."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from local_workflows import CAUGHT, Workflows, caught, task

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

CONNECTION = {
    "Connection": {
        "Type": "AWS::Events::Connection",
        "Properties": {
            "AuthorizationType": "BASIC",
            "AuthParameters": {
                "BasicAuthParameters": {"Username": "ocr", "Password": "secret"},
                "InvocationHttpParameters": {"HeaderParameters": [{"Key": "X-Tenant", "Value": "acme"}]},
            },
        },
    }
}
MAY = (
    ("states:InvokeHTTPEndpoint", "*"),
    ("events:RetrieveConnectionCredentials", "*"),
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:events!connection/*"),
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Answers with what it was sent, or with the status that its path names."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            sent = {
                "path": self.path,
                "user": base64.b64decode(self.headers["Authorization"].split()[1]).decode(),
                "tenant": self.headers["X-Tenant"],
                "key": self.headers["Idempotency-Key"],
                "body": json.loads(self.rfile.read(length)),
            }
            named = self.path.strip("/").partition("?")[0]
            content = json.dumps(sent).encode()
            self.send_response(int(named) if named.isdigit() else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def invoke(url: str, connection: str, **more: Any) -> dict[str, Any]:
    """A task that posts its input."""
    return task(
        "arn:aws:states:::http:invoke",
        {
            "ApiEndpoint": url,
            "Method": "POST",
            "InvocationConfig": {
                "ConnectionArn": f"arn:aws:events:us-east-1:000000000000:connection/{connection}"
            },
            "Headers": {"Idempotency-Key": "{% $states.context.Execution.Name %}"},
            "QueryParameters": {"fast": "yes"},
            "RequestBody": "{% $states.input %}",
        },
        **more,
    )


def test_an_endpoint_is_called_with_the_connections_credentials(
    local_aws: LocalAws, create_stack: Callable[..., dict[str, str]], endpoint: str
) -> None:
    """Its answer is the result, parsed; what the connection adds goes along."""
    connection = create_stack(CONNECTION)["Connection"]
    flows = Workflows(local_aws)
    machine = flows.machine({"Call": invoke(f"{endpoint}/pages", connection)}, *MAY)
    told = flows.ended(flows.start(machine, {"page": 3}, name="page-3"))
    result = flows.output(told)
    assert result["StatusCode"] == 200
    assert result["ResponseBody"] == {
        "path": "/pages?fast=yes",
        "user": "ocr:secret",
        "tenant": "acme",
        "key": "page-3",
        "body": {"page": 3},
    }


@pytest.mark.parametrize(
    ("path", "error"),
    [("/503", "States.Http.StatusCode.503"), ("/429", "States.Http.StatusCode.429")],
)
def test_another_answer_is_an_error_with_its_status(
    local_aws: LocalAws,
    create_stack: Callable[..., dict[str, str]],
    endpoint: str,
    path: str,
    error: str,
) -> None:
    """So that retries can tell them apart."""
    connection = create_stack(CONNECTION)["Connection"]
    flows = Workflows(local_aws)
    call = invoke(endpoint + path, connection, Catch=caught("States.ALL"))
    assert flows.output(flows.run(flows.machine({"Call": call, "Caught": CAUGHT}, *MAY), {})) == error


def test_what_keeps_it_from_being_called_is_an_error(
    local_aws: LocalAws, create_stack: Callable[..., dict[str, str]], endpoint: str
) -> None:
    """Nobody listens; there is no such connection; the role may not use it."""
    connection = create_stack(CONNECTION)["Connection"]
    flows = Workflows(local_aws)

    def error(name: str, url: str, arn: str, *allowed: tuple[str, str]) -> Any:
        call = invoke(url, arn, Catch=caught("States.ALL"))
        return flows.output(
            flows.run(flows.machine({"Call": call, "Caught": CAUGHT}, *allowed, name=name), {})
        )

    assert error("Nobody", "http://127.0.0.1:9/x", connection, *MAY) == "States.Http.Socket"
    assert error("Unknown", endpoint, "other", *MAY) == "Events.ConnectionResource.ResourceNotFound"
    assert error("Refused", endpoint, connection, MAY[0]) == "Events.ConnectionResource.AccessDenied"
    assert error("Forbidden", endpoint, connection, *MAY[1:]) == "States.Http.AccessDeniedException"
