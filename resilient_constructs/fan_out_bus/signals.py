"""What a subscription emits, what may wake someone, and why.

EventBridge has no metric of one bus that an alarm could use; its rules do, under the bus's and their name.
"""

from __future__ import annotations

from dataclasses import dataclass

from resilient_constructs.monitoring import Lane, Math, Metric, Panel, Section, Severity, Signal

__all__ = ["Emitted", "subscription_section", "subscription_signals"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitted:
    """The names that the metrics of one subscription go by.

    :param bus_name: the bus's name; None for the default bus, whose rules have the one dimension only
    :param rule_name: the rule's name
    :param undelivered_queue_name: the rule target's dead-letter queue
    """

    bus_name: str | None
    rule_name: str
    undelivered_queue_name: str

    def rule(self, name: str, label: str) -> Metric:
        """A metric of the rule.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
        """
        bus = {} if self.bus_name is None else {"EventBusName": self.bus_name}
        return Metric(
            namespace="AWS/Events",
            name=name,
            dimensions={**bus, "RuleName": self.rule_name},
            label=label,
        )

    @property
    def delivered(self) -> Metric:
        """Events handed to the queue, or given up on."""
        return self.rule("Invocations", "delivered")

    @property
    def failed(self) -> Metric:
        """Events that EventBridge gave up on."""
        return self.rule("FailedInvocations", "given up")

    @property
    def sent_to_undelivered(self) -> Metric:
        """Events put into the delivery dead-letter queue."""
        return self.rule("InvocationsSentToDlq", "kept as undelivered")

    @property
    def lost(self) -> Metric:
        """Events that not even the delivery dead-letter queue took."""
        return self.rule("InvocationsFailedToBeSentToDlq", "lost")

    @property
    def throttled(self) -> Metric:
        """Times that the rule was held back by the account's quota."""
        return self.rule("ThrottledRules", "throttled")

    @property
    def undelivered(self) -> Metric:
        """Events that wait in the delivery dead-letter queue."""
        return Metric(
            namespace="AWS/SQS",
            name="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": self.undelivered_queue_name},
            statistic="Maximum",
            label="undelivered",
        )


def subscription_signals(emitted: Emitted) -> tuple[Signal, ...]:
    """When a subscription should wake someone."""
    return (
        Signal(
            name="UndeliveredEvents",
            title="Events did not reach their queue",
            because="EventBridge gave up and kept them in the delivery dead-letter queue; the attributes"
            " ERROR_CODE and ERROR_MESSAGE of each say why, mostly a queue policy or a key policy. Mend that,"
            " then send them to the queue again. Goes off as well when they were taken out at once.",
            metric=Math(
                expression="MAX([waiting, sent])",
                metrics={"waiting": emitted.undelivered, "sent": emitted.sent_to_undelivered},
                label="undelivered events",
            ),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="LostEvents",
            title="Events were lost",
            because="EventBridge could neither deliver them nor keep them in the delivery dead-letter queue."
            " Mend its queue policy or key policy, then replay the archive for this time.",
            metric=emitted.lost,
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="FailedInvocations",
            title="Deliveries failed for good",
            because="EventBridge retried until it gave up, or the error could not be retried. Compare with"
            " the undelivered events: each failed delivery should be one of them.",
            metric=emitted.failed,
            threshold=1,
            severity=Severity.TICKET,
        ),
        Signal(
            name="ThrottledRule",
            title="Deliveries are held back",
            because="The account's quota of target invocations a second is used up, so events arrive late;"
            " none is lost within the retry time. Ask for a higher quota, or look for a rule that loops.",
            metric=emitted.throttled,
            threshold=1,
            periods=5,
            severity=Severity.TICKET,
        ),
    )


def subscription_section(title: str, emitted: Emitted) -> Section:
    """What the dashboard shows of a subscription: what got through and what did not."""
    return Section(
        title=title,
        lane=Lane.ROUTING,
        panels=(
            Panel(title="Deliveries", left=(emitted.delivered,), right=(emitted.throttled,)),
            Panel(
                title="Undelivered",
                left=(emitted.failed, emitted.sent_to_undelivered, emitted.lost, emitted.undelivered),
                threshold=1,
            ),
        ),
    )
