"""What the emulator lacks and our constructs need: one file per gap, each with a probe test.

Every file says what AWS does, what ministack 1.5.33 does instead, and the AWS page. They replace private
names of ministack; the pinned version and the probe tests are what makes that bearable.

``load`` puts them in place and returns the ASGI application. Importing this package changes nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "resource_types"]


def load() -> Any:
    """Close every gap and return the emulator's ASGI application."""
    from ministack.app import app

    from . import (
        alarm_actions,
        alarms,
        api_integrations,
        archives,
        bus_policies,
        composite_alarms,
        distributed_map,
        error_types,
        event_delivery,
        function_logs,
        function_settings,
        gateway_responses,
        log_pages,
        mapping_actions,
        parameter_batches,
        query_definitions,
        recording,
        request_validators,
        secret_references,
        secure_transport,
        service_calls,
        stream_mappings,
        worker_environment,
        workflow_errors,
        workflow_executions,
        workflow_http,
        workflow_objects,
        workflow_permissions,
        workflow_running,
        workflow_walk,
    )

    for gap in (
        alarm_actions,
        alarms,
        api_integrations,
        archives,
        bus_policies,
        composite_alarms,
        distributed_map,
        error_types,
        event_delivery,
        function_logs,
        function_settings,
        gateway_responses,
        log_pages,
        mapping_actions,
        query_definitions,
        request_validators,
        secret_references,
        secure_transport,
        service_calls,
        stream_mappings,
        worker_environment,
        workflow_running,
        workflow_walk,
        workflow_executions,
        workflow_http,
        workflow_objects,
        workflow_errors,
        # Outside of those: a call that is refused is not made.
        workflow_permissions,
        # It wraps what the others call.
        recording,
        # Outside of the record, which then has each of its parts.
        parameter_batches,
    ):
        gap.close()
    return app


def resource_types() -> list[str]:
    """The CloudFormation types that can be made once every gap is closed."""
    from .resources import type_handlers

    return sorted(type_handlers)
