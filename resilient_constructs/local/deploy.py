"""Deploy a CDK app to the local AWS with the real ``cdk deploy``."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from resilient_constructs.template import StackTemplate, load_assembly

from .bootstrap import bootstrap
from .emulator import LocalAws
from .errors import LocalAwsError
from .fidelity import Difference, differences, rejected
from .toolchain import CdkCli, find_cdk

__all__ = ["Deployment", "deploy", "synth"]

_LAST_LINES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """An app on the local AWS.

    :param aws: the local AWS it is on
    :param outputs: every stack's outputs: ``outputs["Courier"]["ApiUrl"]``
    :param templates: every stack's template
    :param fidelity: what will not be true locally; empty when nothing is known to differ
    :param assembly: the cloud assembly that was deployed
    """

    aws: LocalAws
    outputs: Mapping[str, Mapping[str, str]]
    templates: Mapping[str, StackTemplate]
    fidelity: tuple[Difference, ...]
    assembly: Path

    def output(self, name: str) -> str:
        """The one output of that name, or whose name starts with it (CDK appends a hash to nested ones).

        :raises KeyError: when no output or more than one fits
        """
        exact = [value for outputs in self.outputs.values() for key, value in outputs.items() if key == name]
        near = [
            value
            for outputs in self.outputs.values()
            for key, value in outputs.items()
            if key.startswith(name)
        ]
        fits = exact or near
        if len(fits) != 1:
            known = sorted(key for outputs in self.outputs.values() for key in outputs)
            raise KeyError(f"{len(fits)} outputs fit {name!r}; there are: {', '.join(known) or 'none'}")
        return fits[0]

    def api_url(self, output: str) -> str:
        """The local URL of a REST API's stage, from the output that holds its URL; no slash at the end."""
        return local_api_url(self.output(output), self.aws.endpoint)

    def physical_id(self, logical_id: str, stack: str | None = None) -> str:
        """The physical ID that CloudFormation gave a resource."""
        name = stack or next(
            name for name, template in self.templates.items() if logical_id in template.resources
        )
        answer = self.aws.client("cloudformation").describe_stack_resource(
            StackName=name, LogicalResourceId=logical_id
        )
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def destroy(self) -> None:
        """Delete every stack, last first, and wait until they are gone."""
        cloudformation = self.aws.client("cloudformation")
        for name in reversed(list(self.templates)):
            cloudformation.delete_stack(StackName=name)
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def deploy(
    aws: LocalAws,
    *,
    app: str | Sequence[str] = "python examples/app.py",
    stacks: Sequence[str] = (),
    cwd: Path | None = None,
    context: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Deployment:
    """Synthesize an app, check it against what the local AWS can do, and deploy it.

    Functions are built for this machine (``RESILIENT_BUILD_FOR=host``), because it runs them.

    :param aws: a running local AWS
    :param app: the command that synthesizes, or the directory of a cloud assembly
    :param stacks: which stacks, by name; the stacks they depend on come along. Default: all of them
    :param cwd: where the command runs. Default: the current directory
    :param context: CDK context values
    :param environment: more environment variables for the app
    :raises LocalAwsError: when Node or the CDK CLI is missing, when the template uses a resource type that
        the local AWS cannot make, or when synthesis or deployment fails; with the last lines they printed
    """
    folder = cwd or Path.cwd()
    cdk = find_cdk(folder)
    assembly = aws.directory / "assemblies" / uuid4().hex
    env = {**aws.environment(), "RESILIENT_BUILD_FOR": "host", **(environment or {})}
    synth(cdk, app=app, into=assembly, cwd=folder, context=context or {}, env=env)
    loaded = load_assembly(assembly)
    unknown = [name for name in stacks if name not in loaded.stacks]
    if unknown:
        raise LocalAwsError(f"no stack named {', '.join(unknown)}; the app has: {', '.join(loaded.stacks)}")
    wanted = [stack for name, stack in loaded.stacks.items() if not stacks or name in stacks]
    impossible = rejected(wanted, supported=aws.resource_types())
    if impossible:
        listed = "\n".join(f"  - {difference}" for difference in impossible)
        raise LocalAwsError(f"the local AWS cannot make {len(impossible)} of the resources:\n{listed}")
    bootstrap(aws, loaded)
    outputs = _deploy_assembly(cdk, assembly, stacks, folder, env)
    deployed = {
        name: loaded.stacks[name] for name in loaded.stacks if not stacks or name in outputs or name in stacks
    }
    return Deployment(
        aws=aws,
        outputs=outputs,
        templates=deployed,
        fidelity=tuple(differences(deployed.values(), auth=aws.auth)),
        assembly=assembly,
    )


def synth(
    cdk: CdkCli,
    *,
    app: str | Sequence[str],
    into: Path,
    cwd: Path,
    context: Mapping[str, str],
    env: Mapping[str, str],
) -> None:
    """Run ``cdk synth`` into a directory.

    :raises LocalAwsError: when it fails, with the last lines it printed
    """
    line = app if isinstance(app, str) else shlex.join(app)
    arguments = ["synth", "--quiet", "--app", line, "--output", str(into)]
    for key, value in context.items():
        arguments += ["--context", f"{key}={value}"]
    into.parent.mkdir(parents=True, exist_ok=True)
    _check(cdk.run(arguments, cwd=cwd, env=env), f"cdk synth of {line!r} failed")


def local_api_url(url: str, endpoint: str) -> str:
    """The emulator's path for an ``execute-api`` URL.

    :raises ValueError: when the URL is none of a REST API's stage
    """
    parts = urlsplit(url)
    api, _, rest = (parts.hostname or "").partition(".")
    stage, _, path = parts.path.lstrip("/").partition("/")
    if not rest.startswith("execute-api.") or not stage:
        raise ValueError(f"{url!r} is not the URL of a REST API's stage")
    return f"{endpoint}/restapis/{api}/{stage}/_user_request_/{path}".rstrip("/")


def _deploy_assembly(
    cdk: CdkCli, assembly: Path, stacks: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    outputs = assembly.parent / f"{assembly.name}.outputs.json"
    arguments = ["deploy", *(stacks or ["--all"]), "--app", str(assembly), "--require-approval", "never"]
    arguments += [
        "--outputs-file",
        str(outputs),
        "--progress",
        "events",
        "--method",
        "direct",
        "--no-notices",
    ]
    _check(cdk.run(arguments, cwd=cwd, env=env), "cdk deploy failed")
    return json.loads(outputs.read_text(encoding="utf-8")) if outputs.exists() else {}


def _check(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode == 0:
        return
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    tail = "\n".join(plain.strip().splitlines()[-_LAST_LINES:])
    raise LocalAwsError(f"{what} (exit code {done.returncode}):\n{tail}")
