"""A consumer with everything that needs a grant of its own: configuration, a table, and its own function."""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager

from resilient_constructs import (
    ContainerHealth,
    FlowControlledConsumer,
    Handler,
    Idempotency,
    OnCall,
    Parameter,
    Redaction,
    Secret,
)

__all__ = ["configure"]


def configure(stack: Stack, *, handler: Handler, on_call: OnCall | None = None) -> FlowControlledConsumer:
    """Make the consumer, a customer key and a secret under it."""
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    return FlowControlledConsumer(
        stack,
        "Delivery",
        handler=handler,
        health=ContainerHealth(update_function=True),
        deadline_margin=Duration.millis(1500),
        redact=Redaction(keys=("iban",), paths=("$.customer.address",), patterns=(r"\bDE\d{20}\b",)),
        configuration=[
            Parameter("url", parameter="/shop/url"),
            Parameter("rates", parameter="/shop/rates", form="json", encryption_key=key),
            Secret("key", secret=secretsmanager.Secret(stack, "CourierKey", encryption_key=key)),
            Secret("certificate", secret="shop/certificate"),
        ],
        idempotency=Idempotency(),
        ephemeral_storage_size=1024,
        on_call=on_call,
    )
