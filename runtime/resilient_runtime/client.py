"""``StorageFirstClient``: for whoever hands work to a ``StorageFirstApi``, in Lambda or anywhere else.

    from resilient_runtime import StorageFirstClient

    shop = StorageFirstClient("https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod")
    accepted = shop.send("/orders", {"order_id": "17"}, idempotency_key="order-17-placed")

It needs nothing but the standard library; signing with IAM needs ``botocore``, which Lambda has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal

from .call import current_correlation_id
from .correlation import fresh_id, is_valid
from .http_transport import HttpTransport, NotReached, Reply, Transport
from .retries import GaveUp, Retry
from .retry_signs import read_sign
from .sending import Accepted, Rejected, SendFailed, Sending, Throttled, Unavailable
from .signing import Signer, region_of

__all__ = ["Accepted", "Rejected", "SendFailed", "StorageFirstClient", "Throttled", "Unavailable"]

Headers = Mapping[str, str]
Auth = Literal["iam", "none"] | Headers | Callable[[], Headers]

_ACCEPTED, _NOT_STORED = 202, 503
_DEFAULT_RETRY = Retry(attempts=5, total=60)


class StorageFirstClient:
    """Sends messages to one ``StorageFirstApi``, and tries again as long as that makes sense.

    Every attempt of one message carries the same ``X-Correlation-Id`` and the same ``Idempotency-Key``. So a
    message whose 202 was lost and which is stored twice is one piece of work to an idempotent handler, and
    one message in a FIFO queue. Connections are kept, and checked after a pause; it may be shared by threads.

    :param url: the API's URL with its stage, as ``StorageFirstApi.url`` has it
    :param auth: ``iam`` signs with the credentials that botocore finds; ``none`` for an API that is open to
        everybody; else the headers to send along, such as ``{"Authorization": token}``, or a function that
        returns them for each attempt. Default: ``iam``, as the API's
    :param region: the API's region, for ``iam``. Default: the one in the URL, else ``AWS_REGION``
    :param timeout: seconds that one attempt may take. Default: 10, and never longer than the invocation lasts
    :param retry: when and how long it tries again. Default: 5 attempts within a minute
    :param limit: how many connections there may be at once. Default: 10
    :param transport: sends one request; to go through a proxy, for example. Default: ``http.client``
    :raises ValueError: when the URL is no ``http`` or ``https`` URL, or its region is not known

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-iam-permissions-model-for-calling-api.html
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth = "iam",
        region: str | None = None,
        timeout: float = 10.0,
        retry: Retry = _DEFAULT_RETRY,
        limit: int = 10,
        transport: Transport | None = None,
    ) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"StorageFirstClient: url is {url!r}; allowed: https://… with the API's stage")
        self.url = url.rstrip("/")
        self._auth = auth
        self._signer = Signer(region or region_of(url)) if auth == "iam" else None
        self._timeout = timeout
        self._retry = retry
        self._own = HttpTransport(self.url, limit=limit)
        self._transport: Transport = transport or self._own

    def send(
        self,
        path: str,
        body: Any,
        *,
        method: str = "POST",
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Send one message, and return when it is stored.

        :param path: the route, such as ``/orders``; what a URL cannot hold as it is, such as a space, is
            percent-encoded, and what is encoded already stays
        :param body: what is sent as JSON; text and bytes are sent as they are
        :param method: the route's HTTP method. Default: POST
        :param correlation_id: 1 to 128 of letters, digits and ``. _ -``. Default: the one of the call in
            progress, else a random one
        :param idempotency_key: of the same characters; the same whenever the same message is sent again. In a
            handler, derive it from ``call.idempotency_key``: a message that is delivered twice then sends
            one. Default: a random one, which the attempts of this call share
        :raises Rejected: when the API refuses the message
        :raises Throttled: when the API takes no more for now
        :raises Unavailable: when it cannot be reached or cannot store
        :raises ValueError: when an id has other characters
        """
        sending = Sending(
            idempotency_key=_checked("idempotency_key", idempotency_key or fresh_id()),
            correlation_id=_checked(
                "correlation_id", correlation_id or current_correlation_id() or fresh_id()
            ),
        )
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else _json(body)).encode()
        began = self._retry.clock.ticks()

        def attempt() -> Reply:
            sending.attempts += 1
            total = self._retry.total
            spent = self._retry.clock.ticks() - began
            return self._attempt(method, path, data, sending, None if total is None else total - spent)

        what = f"{method} {path}"
        try:
            reply = self._retry.call(attempt)
        except GaveUp as error:
            raise _gave_up(what, error, sending) from error
        except Exception as error:
            error.add_note(f"while sending {what} (idempotency_key {sending.idempotency_key})")
            raise
        return _accepted(what, reply, sending)

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self._own.close()

    def __enter__(self) -> StorageFirstClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, method: str, path: str, data: bytes, sending: Sending, rest: float | None) -> Reply:
        left = self._retry.left()
        timeout = min(value for value in (self._timeout, left, rest) if value is not None)
        if timeout <= 0:
            raise NotReached(f"nothing was sent, as {timeout:.1f} s are left")
        url = f"{self.url}/{_encoded(path.lstrip('/'))}"
        headers = {
            "Content-Type": "application/json",
            "X-Correlation-Id": sending.correlation_id,
            "Idempotency-Key": sending.idempotency_key,
            **self._credentials(),
        }
        if self._signer is not None:
            # Each attempt anew: a signature is good for minutes, and credentials may change.
            headers = self._signer.signed(method, url, headers, data)
        try:
            reply = self._transport(method, url, headers, data, timeout)
        except BaseException as error:
            # An interruption leaves it open, too.
            sending.unclear |= not read_sign(error, now=0).untouched
            raise
        sending.unclear |= _is_unclear(reply)
        return reply

    def _credentials(self) -> Headers:
        if isinstance(self._auth, str):
            return {}
        return self._auth() if callable(self._auth) else self._auth


def _checked(name: str, value: str) -> str:
    if not is_valid(value):
        raise ValueError(
            f"StorageFirstClient.send: {name} is {value!r}; allowed: 1 to 128 of A-Z a-z 0-9 . _ -"
        )
    return value


def _encoded(path: str) -> str:
    from urllib.parse import quote  # http.client imports it anyhow, with the first request

    # As it is sent, and so as it is signed: botocore signs the URL that it is given.
    return quote(path, safe="/?%:@!$&'()*+,;=~")


def _json(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _is_unclear(reply: Reply) -> bool:
    """Whether the message may be stored although the answer is no 202.

    A 503 with this problem is the API's own word that the storage did not take it; other 5xx come from
    somewhere on the way. What is answered with 4xx never got as far as the storage.
    """
    if reply.status == _NOT_STORED:
        return reply.problem.get("status") != _NOT_STORED
    return reply.status >= 500 or (reply.status < 400 and _stored(reply) is None)


def _stored(reply: Reply) -> Mapping[str, Any] | None:
    answer = reply.json if reply.status == _ACCEPTED else None
    return answer if isinstance(answer, dict) and isinstance(answer.get("message_id"), str) else None


def _accepted(what: str, reply: Reply, sending: Sending) -> Accepted:
    answer = _stored(reply)
    if answer is not None:
        return Accepted(
            message_id=answer["message_id"],
            correlation_id=str(answer.get("correlation_id") or sending.correlation_id),
            idempotency_key=sending.idempotency_key,
            attempts=sending.attempts,
        )
    said = f"{what}: {reply.summary}"
    if 400 <= reply.status < 500:
        raise Rejected(
            said,
            sending=sending,
            status=reply.status,
            problem=reply.problem,
            remedy="correct the request, for the same one is refused again",
        )
    raise Unavailable(
        said,
        sending=sending,
        status=reply.status,
        problem=reply.problem,
        remedy="this is no answer of a StorageFirstApi; check the URL, its stage and the path",
    )


def _gave_up(what: str, error: GaveUp, sending: Sending) -> SendFailed:
    reply = error.last if isinstance(error.last, Reply) else None
    kind = Throttled if error.throttled else Unavailable
    return kind(
        f"{what}: {reply.summary if reply else error.last!r}; {error.why}",
        sending=sending,
        status=reply.status if reply else None,
        problem=reply.problem if reply else {},
        remedy="send it again later with the same idempotency_key",
    )
