"""API Gateway's mapping templates, rendered as it does: Velocity with ``$input``, ``$util``, ``$context``.

Pure: a template and a request in, a text and overrides out. The emulator extension and the unit tests of
templates use the same function, so what a test shows is what the local AWS does.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from airspeed import Template

__all__ = ["Rendered", "Request", "json_path", "render"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a mapping template sees.

    :param body: the request's body, or the integration's answer in a response template
    :param path: path parameters
    :param query: query parameters
    :param headers: headers, by the names the client sent
    :param context: ``$context``, nested
    :param stage_variables: ``$stageVariables``
    """

    body: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    stage_variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What a mapping template makes.

    :param text: the body
    :param status: ``$context.responseOverride.status``, None where the template sets none
    :param headers: ``$context.responseOverride.header``
    """

    text: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def render(template: str, request: Request) -> Rendered:
    """Render a mapping template.

    :raises airspeed.TemplateError: when the template is no Velocity
    """
    context = {
        **request.context,
        "responseOverride": {"header": {}, "status": None},
        "requestOverride": {"header": {}, "path": {}, "querystring": {}},
    }
    namespace = {
        "input": _Input(request),
        "util": _Util(),
        "context": context,
        "stageVariables": dict(request.stage_variables),
    }
    text = _compiled(template).merge(namespace)
    override = context["responseOverride"]
    status = override.get("status")
    headers = {str(name): str(value) for name, value in override.get("header", {}).items()}
    return Rendered(text=text, status=None if status is None else int(status), headers=headers)


def json_path(document: Any, path: str) -> Any:
    """The node at a JSONPath of names and indices (``$.a.b[0]['c']``); None where there is none."""
    node = document
    for name, index, quoted in _STEP.findall(path.strip().removeprefix("$")):
        if index:
            position = int(index)
            node = node[position] if isinstance(node, list) and position < len(node) else None
        else:
            node = node.get(name or quoted) if isinstance(node, dict) else None
        if node is None:
            return None
    return node


_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")


@lru_cache(maxsize=512)
def _compiled(template: str) -> Any:
    return Template(template)


class _Input:
    """``$input``."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.body = request.body

    def _document(self) -> Any:
        try:
            return json.loads(self._request.body)
        except ValueError:
            return None

    def json(self, path: str) -> str:
        node = json_path(self._document(), path)
        return "" if node is None else json.dumps(node, separators=(",", ":"), ensure_ascii=False)

    def path(self, path: str) -> Any:
        return json_path(self._document(), path)

    def params(self, name: str | None = None) -> Any:
        sources = (self._request.path, self._request.query, self._request.headers)
        if name is None:
            return {"path": dict(sources[0]), "querystring": dict(sources[1]), "header": dict(sources[2])}
        if name in ("path", "querystring", "header"):
            return dict(sources[("path", "querystring", "header").index(name)])
        # Names are looked up as they were sent: API Gateway tells X-Id from x-id in a template.
        return next((source[name] for source in sources if name in source), "")


class _Util:
    """``$util``; names are AWS's."""

    def escapeJavaScript(self, text: Any) -> str:  # noqa: N802
        return "".join(_javascript(character) for character in _text(text))

    def parseJson(self, text: Any) -> Any:  # noqa: N802
        return json.loads(_text(text))

    def urlEncode(self, text: Any) -> str:  # noqa: N802
        # java.net.URLEncoder: a space is a plus, an asterisk stays, a tilde does not.
        return urllib.parse.quote_plus(_text(text), safe="*").replace("~", "%7E")

    def urlDecode(self, text: Any) -> str:  # noqa: N802
        return urllib.parse.unquote_plus(_text(text))

    def base64Encode(self, text: Any) -> str:  # noqa: N802
        return base64.b64encode(_text(text).encode()).decode()

    def base64Decode(self, text: Any) -> str:  # noqa: N802
        try:
            return base64.b64decode(_text(text)).decode(errors="replace")
        except binascii.Error:
            return ""


_SHORT_ESCAPES = {
    "'": "\\'", '"': '\\"', "\\": "\\\\", "/": "\\/",
    "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip
_FIRST_PRINTABLE, _LAST_ASCII, _LAST_BMP = 0x20, 0x7E, 0xFFFF


def _javascript(character: str) -> str:
    """One character as Apache Commons' ``escapeEcmaScript`` writes it, slash and apostrophe included."""
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    if _FIRST_PRINTABLE <= code <= _LAST_ASCII:
        return character
    if code <= _LAST_BMP:
        return f"\\u{code:04X}"
    pair = character.encode("utf-16-be")
    return f"\\u{pair[:2].hex().upper()}\\u{pair[2:].hex().upper()}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
