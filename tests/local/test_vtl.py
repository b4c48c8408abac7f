"""Mapping templates, rendered as API Gateway does. Pure: neither Node nor server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.local.vtl import Request, json_path, render


@given(st.text())
def test_escaped_text_round_trips(text: str) -> None:
    """Any text escaped for JavaScript, its apostrophes freed, is a JSON string of that text."""
    template = """"$util.escapeJavaScript($input.body).replaceAll("\\\\'","'")\""""
    assert json.loads(render(template, Request(body=text)).text) == text.encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16", "surrogatepass")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_form_encoding_round_trips(text: str) -> None:
    """Any text encoded for a form is that text again."""
    from urllib.parse import parse_qs

    form = render("MessageBody=$util.urlEncode($input.body)", Request(body=text)).text
    assert parse_qs(form, keep_blank_values=True)["MessageBody"] == [text]


@pytest.mark.parametrize(
    ("path", "node"),
    [("$", {"a": [{"b": 1}]}), ("$.a[0].b", 1), ("$['a'][0]", {"b": 1}), ("$.a[3]", None), ("$.x.y", None)],
)
def test_json_path(path: str, node: object) -> None:
    """A JSONPath of names and indices finds its node, or nothing."""
    assert json_path({"a": [{"b": 1}]}, path) == node


def test_params_by_precedence() -> None:
    """A parameter is looked for in the path, then the query, then the headers."""
    request = Request(
        path={"a": "path"}, query={"a": "query", "b": "query"}, headers={"b": "head", "c": "head"}
    )
    assert (
        render("$input.params('a') $input.params('b') $input.params('c')", request).text == "path query head"
    )


def test_override() -> None:
    """A template overrides status and headers of the answer."""
    template = (
        "#set($context.responseOverride.status = 418)"
        '#set($context.responseOverride.header.X-A-b = "c")$context.requestId'
    )
    rendered = render(template, Request(context={"requestId": "r"}))
    assert (rendered.text, rendered.status, rendered.headers) == ("r", 418, {"X-A-b": "c"})


def test_no_json_body() -> None:
    """A body that is no JSON has no nodes, and does not fail the template."""
    assert render("[$!input.path('$.a')]", Request(body="{no")).text == "[]"
