"""ReservedConcurrentExecutions and DeadLetterConfig of AWS::Lambda::Function.

AWS: reserved concurrency caps the function and throttles above it; the dead-letter queue takes asynchronous
events whose attempts are used up.
ministack 1.5.33: its API honours both, its CloudFormation drops them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

from ministack.services import lambda_svc

from .resources import Created, Properties, wrap_create


def close() -> None:
    """Put it in place."""
    wrap_create("AWS::Lambda::Function", _settle)


def _settle(made: Created, properties: Properties) -> None:
    name, _ = made
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved is None:
        lambda_svc._delete_function_concurrency(name)
    else:
        lambda_svc._put_function_concurrency(name, {"ReservedConcurrentExecutions": int(reserved)})
    config = lambda_svc._functions[name]["config"]
    if properties.get("DeadLetterConfig"):
        config["DeadLetterConfig"] = properties["DeadLetterConfig"]
    else:
        config.pop("DeadLetterConfig", None)
