"""What every function shares: asked for once in a process instead of once per function."""

from __future__ import annotations

from functools import cache

from aws_cdk import Duration, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from .limits import TIMEOUT

__all__ = ["default_architecture", "default_runtime", "default_timeout", "lambda_service", "megabytes"]


@cache
def lambda_service() -> iam.ServicePrincipal:
    """Who assumes a function's role."""
    return iam.ServicePrincipal("lambda.amazonaws.com")


@cache
def default_runtime() -> lambda_.Runtime:
    """The newest Python that Lambda manages."""
    return lambda_.Runtime.PYTHON_3_14


@cache
def default_architecture() -> lambda_.Architecture:
    """The cheaper and faster processor."""
    return lambda_.Architecture.ARM_64


@cache
def default_timeout() -> Duration:
    """As long as a function may take when nobody says how long."""
    return Duration.seconds(int(TIMEOUT.default or 0))


@cache
def megabytes(size: float | None) -> Size | None:
    """A size of ``/tmp``; None leaves it at Lambda's own."""
    return None if size is None else Size.mebibytes(size)
