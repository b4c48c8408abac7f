"""Whom an alarm tells: topics per severity that CloudWatch, and nobody else, may publish to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .limits import SUBSCRIBE_PAGE
from .signal import Severity

__all__ = ["RUNBOOK", "OnCall"]

RUNBOOK = "resilient-constructs docs/runbook.md"
"""Where an alarm's text sends its reader unless ``OnCall(runbook=...)`` says otherwise."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_HTTPS = re.compile(r"https://[^\s/]+\S*")


class OnCall(Construct):
    """Who is told when an alarm changes state, and how loudly.

    Alarms publish to an SNS topic when they go off and again when all is well. One topic serves both
    severities; as soon as anything is given for tickets, they get a topic of their own and leave the pager
    alone. A topic made here takes messages only over TLS and only from CloudWatch alarms of this account.

    AWS asks every email subscriber to confirm once; until then nothing arrives.

    :param email: address or addresses told of pages, and of tickets too unless those have their own
    :param https: HTTPS endpoint or endpoints told of the same
    :param ticket_email: address or addresses told of tickets only. Default: as for pages
    :param ticket_https: HTTPS endpoint or endpoints told of tickets only. Default: as for pages
    :param page_topic: a topic of yours for pages. Its policy stays yours: CloudWatch must be allowed to
        publish. Default: a topic is made
    :param ticket_topic: a topic of yours for tickets, likewise. Default: the topic for pages, or one is made
        when ``ticket_email`` or ``ticket_https`` is given
    :param runbook: address of your runbook; every alarm's text ends in it with ``#`` and the signal's name,
        ``#oldest-message-age``. Default: the page of this library's documentation
    :param encryption_key: a customer key that encrypts the topics made here; CloudWatch is granted its use.
        Default: no KMS key, because CloudWatch cannot use the AWS-managed one (``alias/aws/sns``) and alarms
        would be lost in silence, and because alarm texts carry no data of yours
    :raises ValueError: when an address is no email address or an endpoint is not HTTPS; all faults at once

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        email: str | Sequence[str] | None = None,
        https: str | Sequence[str] | None = None,
        ticket_email: str | Sequence[str] | None = None,
        ticket_https: str | Sequence[str] | None = None,
        page_topic: sns.ITopic | None = None,
        ticket_topic: sns.ITopic | None = None,
        encryption_key: kms.IKey | None = None,
        runbook: str = RUNBOOK,
    ) -> None:
        super().__init__(scope, construct_id)
        pages = _Subscribers(emails=_listed(email), endpoints=_listed(https))
        tickets = _Subscribers(emails=_listed(ticket_email), endpoints=_listed(ticket_https))
        faults = Faults(f"OnCall {construct_id!r}")
        pages.check(faults, prefix="")
        tickets.check(faults, prefix="ticket_")
        faults.raise_any()

        self.runbook = runbook
        if encryption_key is not None and (page_topic is None or (ticket_topic is None and tickets)):
            _let_cloudwatch_use(encryption_key)
        self.page_topic: sns.ITopic = page_topic or self._make_topic("Topic", encryption_key)
        pages.subscribe_to(self.page_topic, self, "Topic")
        if ticket_topic is not None or tickets:
            self.ticket_topic: sns.ITopic = ticket_topic or self._make_topic("TicketTopic", encryption_key)
            tickets.subscribe_to(self.ticket_topic, self, "TicketTopic")
        else:
            self.ticket_topic = self.page_topic
        # read once: every alarm needs the ARN, and every read is a round trip to Node
        page_arn = self.page_topic.topic_arn
        ticket_arn = page_arn if self.ticket_topic is self.page_topic else self.ticket_topic.topic_arn
        self._arns = {Severity.PAGE: page_arn, Severity.TICKET: ticket_arn}

    def topic(self, severity: Severity) -> sns.ITopic:
        """The topic that alarms of this severity publish to."""
        return self.page_topic if severity is Severity.PAGE else self.ticket_topic

    def topic_arn(self, severity: Severity) -> str:
        """The ARN of ``topic``."""
        return self._arns[severity]

    def _make_topic(self, construct_id: str, encryption_key: kms.IKey | None) -> sns.Topic:
        """A topic with a policy of its own, which takes the place of SNS's default for the owner's account.

        https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
        """
        topic = sns.Topic(self, construct_id, enforce_ssl=True, master_key=encryption_key)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        return topic


class _Subscribers:
    """Addresses and endpoints of one severity."""

    def __init__(self, *, emails: list[str], endpoints: list[str]) -> None:
        self._emails = emails
        self._endpoints = endpoints

    def __bool__(self) -> bool:
        return bool(self._emails or self._endpoints)

    def check(self, faults: Faults, *, prefix: str) -> None:
        for address in self._emails:
            if not is_token(address) and not _EMAIL.fullmatch(address):
                faults.add(f"{prefix}email", address, "an address such as ops@example.com", SUBSCRIBE_PAGE)
        for endpoint in self._endpoints:
            if not is_token(endpoint) and not _HTTPS.fullmatch(endpoint):
                faults.add(f"{prefix}https", endpoint, "a URL that begins with https://", SUBSCRIBE_PAGE)

    def subscribe_to(self, topic: sns.ITopic, scope: Construct, prefix: str) -> None:
        for kind, protocol, endpoints in (
            ("Email", sns.SubscriptionProtocol.EMAIL, self._emails),
            ("Https", sns.SubscriptionProtocol.HTTPS, self._endpoints),
        ):
            for number, endpoint in enumerate(endpoints, start=1):
                construct_id = f"{prefix}{kind}{number}"
                sns.Subscription(scope, construct_id, topic=topic, protocol=protocol, endpoint=endpoint)


def _listed(given: str | Sequence[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _let_cloudwatch_use(key: kms.IKey) -> None:
    """Without this CloudWatch cannot publish to a topic under the key, and nobody is told that it could not.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsOfThisAccount",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["kms:Decrypt", "kms:GenerateDataKey*"],
            resources=["*"],  # in a key policy: this key
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
    )
