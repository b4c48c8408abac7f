"""What a user gets from the package index: the wheel, alone."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

APP = """
import aws_cdk as cdk
from resilient_constructs import Downstream, FanOutBus, FlowControlledConsumer, Handler, OnCall
from resilient_constructs import Route, StorageFirstApi, Throttle

app = cdk.App(outdir="out")
stack = cdk.Stack(app, "Shop")
on_call = OnCall(stack, "OnCall", email="ops@example.com")
courier = Downstream(stack, "Courier", requests_per_second=10, typical_latency=cdk.Duration.seconds(5))
orders = FanOutBus(stack, "Orders", on_call=on_call)
StorageFirstApi(
    stack, "Api", on_call=on_call, throttle=Throttle(requests_per_second=50, burst=100),
    routes=[Route.post("/orders", schema={"type": "object"},
                       store=orders.events(source="shop", detail_type="OrderPlaced"))],
)
delivery = FlowControlledConsumer(
    stack, "Delivery", downstream=courier, on_call=on_call,
    handler=Handler.from_directory("handlers", "delivery.deliver"),
)
orders.subscribe("Delivery", delivery, detail_type=["OrderPlaced"])
app.synth()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this repository."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_carries_library_runtime_and_type_marker_and_nothing_else(wheel: Path) -> None:
    """Both import roots travel with their py.typed; tests, examples and benchmarks stay at home."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    roots = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert roots == {"resilient_constructs", "resilient_runtime"}
    assert {"resilient_constructs/py.typed", "resilient_runtime/py.typed"} <= set(names)
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_alone_synthesizes_an_app(wheel: Path, tmp_path: Path) -> None:
    """In an empty virtual environment outside the repository, the installed wheel synthesizes a whole app."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, capture_output=True)
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "delivery.py").write_text("def deliver(order, call):\n    pass\n")
    (tmp_path / "app.py").write_text(APP)
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [python, "app.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "out" / "Shop.template.json").read_text())
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert {"AWS::ApiGateway::RestApi", "AWS::Events::EventBus", "AWS::Lambda::EventSourceMapping"} <= types


def test_the_lock_files_name_no_registry() -> None:
    """A lock file says what is installed, never from which host."""
    locks = [*REPOSITORY.glob("requirements/*.lock"), REPOSITORY / "package-lock.json"]
    assert len(locks) >= 3
    for lock in locks:
        assert "://" not in lock.read_text(), lock.name
