"""Every example, as one CDK app: ``cdk list``, ``cdk deploy Courier -c courier-url=https://…``.

Context (``-c name=value``, or ``context`` in cdk.json):
  courier-url          where the courier takes orders. Default: https://courier.example.com/deliveries
  courier-latency-ms   how long a call takes on average. Default: 5000
  courier-timeout-ms   how long a call is waited for. Default: 12000
  courier-recovery-ms  how long it is left alone after it was found to be down. Default: 15000
  ocr-url              where the documents' pictures are read. Default: https://ocr.example.com/read
  ocr-rate             how many of them a second. Default: 10
  ocr-latency-ms       how long one takes on average. Default: 2000
  ocr-timeout-ms       how long one is waited for. Default: 10000
  cloud-watch-role     "true" sets the account's role for API Gateway's logs. Default: it is there already
"""

from __future__ import annotations

from aws_cdk import App, Duration
from courier import CourierStack
from documents import DocumentsStack


def main() -> None:
    """Synthesize."""
    app = App()

    def context(name: str, default: str) -> str:
        value = app.node.try_get_context(name)
        return default if value is None else str(value)

    CourierStack(
        app,
        "Courier",
        courier_url=context("courier-url", "https://courier.example.com/deliveries"),
        courier_latency=Duration.millis(int(context("courier-latency-ms", "5000"))),
        courier_timeout=Duration.millis(int(context("courier-timeout-ms", "12000"))),
        recovery_time=Duration.millis(int(context("courier-recovery-ms", "15000"))),
        cloud_watch_role=context("cloud-watch-role", "no") == "true",
    )
    DocumentsStack(
        app,
        "Documents",
        ocr_url=context("ocr-url", "https://ocr.example.com/read"),
        ocr_requests_per_second=float(context("ocr-rate", "10")),
        ocr_latency=Duration.millis(int(context("ocr-latency-ms", "2000"))),
        ocr_timeout=Duration.millis(int(context("ocr-timeout-ms", "10000"))),
    )
    app.synth()


if __name__ == "__main__":
    main()
