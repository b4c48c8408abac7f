"""What to do about an error of a store that values are loaded from."""

from __future__ import annotations

from .refusals import code_of

__all__ = ["remedy_for"]

_TIMES_OUT = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "ProxyConnectionError",
        "ReadTimeoutError",
    }
)


def remedy_for(error: Exception, action: str) -> str:
    """One sentence for the person who reads the log.

    :param action: the action that was refused, as IAM writes it
    """
    code = code_of(error)
    service = action.partition(":")[0]
    if "Throttl" in code or code in ("TooManyUpdates", "RequestLimitExceeded", "LimitExceededException"):
        return (
            f"The account asks {service} more often than it allows; it is asked again after a pause. Let "
            "values expire later, or raise the throughput in the service's settings"
        )
    if code in _TIMES_OUT:
        return (
            f"The function cannot reach {service}: in a VPC it needs a NAT gateway, or an interface endpoint "
            f"for {service} whose security group lets it in"
        )
    if "AccessDenied" in code or code in ("InvalidKeyId", "DecryptionFailure"):
        return (
            f"Allow the function's role {action} on it, and kms:Decrypt on its key where it has a customer "
            "key (encryption_key, where the function's configuration is declared)"
        )
    if code in ("ExpiredTokenException", "UnrecognizedClientException", "NoCredentialsError"):
        return "The function's credentials are not accepted: has its role been deleted or replaced?"
    return "It is asked again after a pause"
