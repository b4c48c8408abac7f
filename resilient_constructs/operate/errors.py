"""What ends a command early, in one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["OperateError", "asked_for", "refusal"]

_T = TypeVar("_T")
_DENIED = ("AccessDenied", "AuthorizationError", "NotAuthorized", "Forbidden")


class OperateError(Exception):
    """Something is missing or wrong; the text says what, and how to cure it."""


def asked_for(needs: str, question: Callable[[], _T], *, cure: str = "") -> _T:
    """The answer to a question about a poison store; what AWS refuses in one line.

    :param needs: the permission, and on what
    :param cure: see ``refusal``
    :raises OperateError: when it refuses, or cannot be reached
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question()
    except (BotoCoreError, ClientError) as error:
        raise OperateError(refusal(needs, error, cure=cure)) from error


def refusal(needs: str, error: Exception, *, cure: str = "") -> str:
    """One line on what was refused, and who may allow it.

    :param needs: the permission, and on what
    :param cure: what to do where the permission lacks. Default: ask for ``grant_replay``
    """
    told = getattr(error, "response", None) or {}
    code = str(told.get("Error", {}).get("Code", ""))
    said = " ".join(str(error).split())
    if not any(one in code for one in _DENIED):
        return f"{needs} failed: {type(error).__name__}: {said}"
    return f"AWS refuses {needs}; {cure or 'the consumer’s grant_replay(…) allows it'}. It said: {said}"
