"""The dead-letter queue, as a place that a rejected message is safe in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.rejection import Rejection, compose

from .refusals import code_of

__all__ = ["DeadLetterQueue", "SendsMessages", "refuses_content", "sqs_client"]

# What SQS answers when the request itself is at fault: another attempt with the same label cannot succeed.
_REFUSED = frozenset({"InvalidParameterValue", "InvalidMessageContents", "InvalidAttributeValue"})


class SendsMessages(Protocol):
    """The one call of boto3's SQS client that is used here."""

    def send_message(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html."""
        ...


def sqs_client() -> SendsMessages:
    """A client that gives up after about twelve seconds, long before most functions' time is over.

    boto3's own defaults wait 60 seconds to connect and try five times: the invocation would be killed first,
    and with it the record that says what went wrong.
    """
    # Late on purpose: importing boto3 takes 150 ms, and most environments never reject anything.
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 2, "mode": "standard"})
    return cast("SendsMessages", boto3.client("sqs", config=config))


def hurried_client() -> SendsMessages:
    """A client that gives up at once: an invocation that is killed takes back what its batch completed."""
    from .clients import client

    return cast("SendsMessages", client("sqs", read_timeout=0.6, attempts=1))


class DeadLetterQueue:
    """Stores rejected messages.

    :param url: the queue's URL; one that ends in ``.fifo`` is a FIFO queue
    :param connect: makes the client when the first message is rejected
    """

    def __init__(self, url: str, connect: Callable[[], SendsMessages] = sqs_client) -> None:
        self.url = url
        self._connect = connect
        self._client: SendsMessages | None = None

    def hurried(self) -> DeadLetterQueue:
        """The same queue for when the time is nearly over: an answer is waited for 0.6 s, and once."""
        return DeadLetterQueue(self.url, hurried_client)

    def connect(self) -> SendsMessages:
        """The client, made by now: importing boto3 and reading its models takes a while."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def store(self, record: Mapping[str, Any], rejection: Rejection) -> bool:
        """Store the whole message with its reason; when this returns, SQS has confirmed it.

        :returns: whether the message carries its label; False when there was no room for it
        :raises Exception: whatever the client raises; the message is then not known to be stored
        """
        client = self.connect()
        arguments, labelled = compose(record, rejection, queue_url=self.url)
        try:
            answer = client.send_message(**arguments)
        except Exception as error:
            if not labelled or not refuses_content(error):
                raise
            # A queue may allow less than SQS does (its own MaximumMessageSize): then the bare message.
            arguments, labelled = compose(record, rejection, queue_url=self.url, labelled=False)
            answer = client.send_message(**arguments)
        if not answer.get("MessageId"):
            raise RuntimeError(f"SQS did not confirm the message: {answer!r}")
        return labelled


def refuses_content(error: Exception) -> bool:
    """Whether SQS refused what was to be sent, such as its size: sent again, it would be refused again."""
    return code_of(error).removeprefix("AWS.SimpleQueueService.") in _REFUSED
