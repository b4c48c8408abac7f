"""What AWS said of a call that it refused, or the network of one that never arrived."""

from __future__ import annotations

__all__ = ["code_of", "said_by"]


def code_of(error: Exception) -> str:
    """AWS's code for an error (``ThrottlingException``), or the exception's class where AWS said nothing."""
    # botocore's ClientError, known by its shape: nothing of botocore is imported for it.
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    # The JSON protocol prefixes some codes: "com.amazonaws.sqs#InvalidMessageContents".
    return str(code).rpartition("#")[2] or type(error).__name__


def said_by(error: Exception) -> str:
    """What AWS, or the network, said; without the full stop at its end."""
    response = getattr(error, "response", None)
    message = response.get("Error", {}).get("Message", "") if isinstance(response, dict) else str(error)
    # Some of their sentences end in a full stop; what follows here begins after ours.
    return f"{code_of(error)}: {message.rstrip('.')}" if message else code_of(error)
