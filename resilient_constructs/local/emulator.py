"""Start, use and stop the local AWS: ministack in a process of its own, loopback only, never an orphan."""

from __future__ import annotations

import http.client
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from . import ports, workdir
from .errors import LocalAwsError
from .orders import RESOURCE_TYPES, Orders, command

if TYPE_CHECKING:
    from .recorder import Call

__all__ = ["ACCOUNT", "MINISTACK_VERSION", "REGION", "LocalAws"]

MINISTACK_VERSION = "1.5.33"
"""The only version the extension fits: it replaces private names of it."""
REGION = "us-east-1"
ACCOUNT = "000000000000"

# The emulator's root caller. No secret: it opens nothing but a process on this machine.
_KEY = "test"
_SECRET = "test"  # noqa: S105
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_INSTALL = "pip install resilient-constructs[local]"
# A user's profile must never steer a local run, nor a local run reach a real account.
_FOREIGN_PREFIXES = ("AWS_", "CDK_DEFAULT_")


class LocalAws:
    """An AWS account on this machine, in ``us-east-1``, empty at the start and gone at the end.

    Use it as a context manager, or call ``start`` and ``stop``. It listens on the loopback interface
    only. No process of it outlives the process that started it, whichever way that one ends.

    :param port: where it listens. Default: a free port
    :param auth: whether IAM is enforced: functions then run with their own roles, and a missing grant is an
        AccessDenied as on AWS. Default: enforced
    :param calls: the file every AWS call is recorded in, one JSON object per line; without ``auth`` only
        those that services make among themselves. Default: a file that goes away at the end; read it with
        ``calls`` before
    """

    def __init__(self, *, port: int | None = None, auth: bool = True, calls: Path | None = None) -> None:
        self._wanted_port = port
        self._auth = auth
        self._wanted_calls = calls
        self._calls = calls
        self._port: int | None = None
        self._directory: Path | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()

    @classmethod
    def attach(cls, *, port: int, directory: Path, calls: Path, auth: bool) -> LocalAws:
        """Use a local AWS that somebody else started; ``stop`` then only lets go of it."""
        attached = cls(port=port, auth=auth, calls=calls)
        attached._port, attached._directory = port, directory
        return attached

    def start(self) -> Self:
        """Start it and wait until it answers, about half a second.

        :raises LocalAwsError: when ministack is missing or another version, the port is taken, or the
            server does not come up
        """
        if self._port is not None:
            return self
        check_ministack()
        listener = ports.listen(self._wanted_port)
        directory = workdir.create()
        port = int(listener.getsockname()[1])
        self._calls = self._wanted_calls or directory / "calls.jsonl"
        orders = Orders(
            listener=listener.fileno(),
            port=port,
            directory=str(directory),
            calls=str(self._calls.absolute()),
            auth=self._auth,
            owner=os.getpid(),
        )
        with listener:
            self._supervisor = spawn_supervisor(orders, stdin=subprocess.PIPE)
        self._port, self._directory = port, directory
        try:
            wait_until_ready(port, self._supervisor)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it and wait until every process of it is gone; stopping twice is fine."""
        process, self._supervisor = self._supervisor, None
        self._port = None
        with self._clients_lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # the server sees the end of its watch pipe and takes its workers along
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it was started and its processes are alive."""
        return self._port is not None and (self._supervisor is None or self._supervisor.poll() is None)

    @property
    def port(self) -> int:
        """The port it listens on.

        :raises LocalAwsError: when it was not started
        """
        if self._port is None:
            raise LocalAwsError("the local AWS is not running; call start() or use it in a with statement")
        return self._port

    @property
    def endpoint(self) -> str:
        """The endpoint of every service, ``http://127.0.0.1:<port>``."""
        return f"http://{ports.HOST}:{self.port}"

    @property
    def auth(self) -> bool:
        """Whether IAM is enforced."""
        return self._auth

    @property
    def directory(self) -> Path:
        """Where this run keeps its files and ``server.log``; removed when it stops."""
        if self._directory is None:
            raise LocalAwsError("the local AWS is not running; call start() or use it in a with statement")
        return self._directory

    def environment(self) -> dict[str, str]:
        """This process's environment, turned towards the local AWS, for child processes.

        Every ``AWS_*`` of the host is dropped, and so are its config files: nothing that is started with it
        can reach a real account.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN_PREFIXES)}
        no_proxy = ",".join(
            filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy"), ports.HOST, "localhost"])
        )
        return inherited | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }

    def client(self, service: str) -> Any:
        """A boto3 client of this local AWS, made once per service."""
        with self._clients_lock:
            if service not in self._clients:
                self._clients[service] = _boto3_client(service, self.endpoint)
            return self._clients[service]

    def sign(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> dict[str, str]:
        """The headers of a request to an API with IAM authorization, signed by the account's root (SigV4)."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        SigV4Auth(Credentials(_KEY, _SECRET), "execute-api", REGION).add_auth(request)
        return dict(request.headers.items())

    def reset(self) -> None:
        """Forget every resource and every recorded call, and stop every Lambda worker; some milliseconds."""
        status, body = request(self.port, "POST", "/_ministack/reset")
        if status != http.client.OK:
            raise LocalAwsError(f"the local AWS refused to reset: {status} {body[:200]!r}")
        if self._calls and self._calls.exists():
            os.truncate(self._calls, 0)  # names repeat after a reset; old calls would pass for new ones

    def resource_types(self) -> frozenset[str]:
        """The CloudFormation types that it can make."""
        return frozenset((self.directory / RESOURCE_TYPES).read_text(encoding="utf-8").split())

    def calls(self) -> list[Call]:
        """Every AWS call so far: who did what to which resource, and whether it was allowed."""
        from .recorder import read_calls

        return read_calls(self._calls) if self._calls else []


def check_ministack() -> None:
    """Check that the emulator is installed in the one version that fits.

    :raises LocalAwsError: with the command that installs it
    """
    try:
        found = metadata.version("ministack")
    except metadata.PackageNotFoundError:
        raise LocalAwsError(
            f"the local AWS needs ministack, which is not installed; run: {_INSTALL}"
        ) from None
    if found != MINISTACK_VERSION:
        raise LocalAwsError(
            f"the local AWS needs ministack {MINISTACK_VERSION}, found {found}; "
            f"run: pip install ministack=={MINISTACK_VERSION}"
        )


def spawn_supervisor(
    orders: Orders, *, stdin: int, stderr: BinaryIO | None = None
) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own."""
    package_root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        command(orders),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": package_root},
        pass_fds=(orders.listener,),
        start_new_session=True,
    )


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers.

    :raises LocalAwsError: when it ends or stays silent
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            raise LocalAwsError(f"the local AWS did not start (supervisor's exit code {code})")
        try:
            # The socket listens before the server runs: the connection waits in its backlog.
            status, _ = request(port, "GET", "/_ministack/health", timeout=1.0)
        except OSError:
            time.sleep(0.02)
            continue
        if status == http.client.OK:
            return
    raise LocalAwsError(f"the local AWS did not answer on port {port} within {_START_SECONDS:.0f} s")


def request(port: int, method: str, path: str, *, timeout: float = 30.0) -> tuple[int, bytes]:
    """One plain HTTP request to the emulator's own endpoints."""
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def _boto3_client(service: str, endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(aws_access_key_id=_KEY, aws_secret_access_key=_SECRET, region_name=REGION)
    config = Config(
        max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 2}, proxies={}
    )
    untyped: Any = session
    return untyped.client(service, endpoint_url=endpoint, config=config)
