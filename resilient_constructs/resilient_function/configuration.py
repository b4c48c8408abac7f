"""What a function is configured with: parameters and secrets by the name that its handler asks for.

The values never pass through the template: the function's environment holds names, its role may read exactly
these, and the runtime loads them when an environment starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from resilient_runtime.settings import ConfigurationEntry

from resilient_constructs.limits import Faults, Limit
from resilient_constructs.tokens import is_token, pseudo, seconds

if TYPE_CHECKING:
    from aws_cdk import Duration
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_secretsmanager as secretsmanager
    from aws_cdk import aws_ssm as ssm

__all__ = ["Configured", "Form", "Parameter", "Secret", "check_configuration", "entries_of", "grant_reading"]

Form = Literal["text", "json", "int", "float", "bool"]
"""What a value's text is read as; one that cannot be read so is refused when it is loaded."""

_FORMS = ("text", "json", "int", "float", "bool")
_PARAMETER_PAGE = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html"
_SECRET_PAGE = "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html"  # noqa: S105  a page
_NAME_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"

# Parameter Store serves 40 requests a second to a whole account by default: a thousand environments that
# refresh every ten seconds already ask for more. https://docs.aws.amazon.com/general/latest/gr/ssm.html
_EXPIRES_AFTER = Limit(
    prop="expires_after",
    low=10,
    high=86_400,
    unit="seconds",
    page="https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-throughput.html",
    default=300,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# A path begins with "/"; a version or a label may follow the name.
_PARAMETER_NAME = re.compile(r"(/[A-Za-z0-9_.\-/]+|[A-Za-z0-9_.\-]+)(:[A-Za-z0-9_.\-]+)?")
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@\-]{1,512}")
# Secrets Manager ends each ARN with six characters of its own; one named without them is found like this.
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
_SUFFIX = "-??????"
_WHOLE_ARN = re.compile(r"-[A-Za-z0-9]{6}$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of SSM's Parameter Store, as a value that a handler reads.

    ``Parameter("courier_url", parameter="/shop/courier/url")`` is ``configuration["courier_url"]`` in the
    handler. A ``SecureString`` is decrypted, and treated as a secret from then on.

    :param name: how the handler asks for it: a letter, then letters, digits and ``_ . -``
    :param parameter: the parameter, or its name, or its ARN where another account shares it. A name may end
        in ``:3`` (a version) or ``:live`` (a label)
    :param form: what the text is read as. Default: text
    :param expires_after: 10 seconds to a day; it is refreshed before, in the background. Default: 5 minutes
    :param encryption_key: the customer key of a ``SecureString``. Default: none, which is right for other
        parameters and for the AWS managed key

    https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
    """

    name: str
    _: KW_ONLY
    parameter: ssm.IStringParameter | ssm.IParameter | str
    form: Form = "text"
    expires_after: Duration | None = None
    encryption_key: kms.IKey | None = None

    def check(self, faults: Faults) -> None:
        """Note what is wrong with it."""
        _check(faults, self)
        source = self.parameter
        if isinstance(source, str) and not (_is_arn(source, "ssm") or _PARAMETER_NAME.fullmatch(source)):
            # of a token nobody knows whether it begins with "/", and the ARN depends on it
            allowed = (
                "letters, digits and _ . - in a path that starts with '/', an ARN, or the parameter itself"
            )
            faults.add(f"parameter of {self.name!r}", source, allowed, _PARAMETER_PAGE)

    def entry(self) -> ConfigurationEntry:
        """What the function is told of it."""
        source = self.parameter if isinstance(self.parameter, str) else self.parameter.parameter_name
        return ConfigurationEntry(
            name=self.name,
            kind="parameter",
            source=source,
            form=self.form,
            expires_after=_expiry(self.expires_after),
        )

    def arn(self) -> str:
        """The ARN that a policy names, without a version or label."""
        if not isinstance(self.parameter, str):
            return self.parameter.parameter_arn
        if _is_arn(self.parameter, "ssm"):
            return ":".join(self.parameter.split(":")[:6])
        aws = pseudo()
        name = self.parameter.partition(":")[0].removeprefix("/")
        return f"arn:{aws.partition}:ssm:{aws.region}:{aws.account}:parameter/{name}"

    def key(self) -> kms.IKey | None:
        """The customer key that it is encrypted with, if any."""
        return self.encryption_key


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of Secrets Manager, as a value that a handler reads.

    ``Secret("courier_key", secret=key)`` is ``configuration["courier_key"]`` in the handler; of a JSON
    secret, ``configuration.text("database", "password")`` is one member. It is always the current version.

    :param name: how the handler asks for it: a letter, then letters, digits and ``_ . -``
    :param secret: the secret, or its name, or its ARN where another account shares it
    :param form: what the text is read as. Default: text
    :param expires_after: 10 seconds to a day; it is refreshed before, in the background. Default: 5 minutes
    :param encryption_key: the customer key of a secret that was imported or is given by name. Default: the
        secret's own, else none, which is right for the AWS managed key

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/intro.html
    """

    name: str
    _: KW_ONLY
    secret: secretsmanager.ISecret | str
    form: Form = "text"
    expires_after: Duration | None = None
    encryption_key: kms.IKey | None = None

    def check(self, faults: Faults) -> None:
        """Note what is wrong with it."""
        _check(faults, self)
        source = self.secret
        if isinstance(source, str) and not (
            _is_arn(source, "secretsmanager") or _SECRET_NAME.fullmatch(source)
        ):
            allowed = "up to 512 letters, digits and / _ + = . @ -, an ARN, or the secret itself"
            faults.add(f"secret of {self.name!r}", source, allowed, _SECRET_PAGE)

    def entry(self) -> ConfigurationEntry:
        """What the function is told of it."""
        return ConfigurationEntry(
            name=self.name,
            kind="secret",
            source=self.secret if isinstance(self.secret, str) else self.secret.secret_arn,
            form=self.form,
            expires_after=_expiry(self.expires_after),
        )

    def arn(self) -> str:
        """The ARN that a policy names; its last six characters may be a pattern."""
        if not isinstance(self.secret, str):
            return self.secret.secret_full_arn or f"{self.secret.secret_arn}{_SUFFIX}"
        if _is_arn(self.secret, "secretsmanager"):
            return self.secret if _WHOLE_ARN.search(self.secret) else f"{self.secret}{_SUFFIX}"
        aws = pseudo()
        prefix = f"arn:{aws.partition}:secretsmanager:{aws.region}:{aws.account}:secret:"
        return f"{prefix}{self.secret}{_SUFFIX}"

    def key(self) -> kms.IKey | None:
        """The customer key that it is encrypted with, if any."""
        if self.encryption_key is not None or isinstance(self.secret, str):
            return self.encryption_key
        return self.secret.encryption_key


Configured: TypeAlias = Parameter | Secret

_NO_LIST = (str, Parameter, Secret)


def check_configuration(faults: Faults, configuration: Sequence[Configured]) -> None:
    """Note everything that is wrong with a function's configuration, names given twice included."""
    if isinstance(configuration, _NO_LIST):
        faults.add("configuration", configuration, "a list of Parameter(…) and Secret(…)", _NAME_PAGE)
        return
    seen: set[str] = set()
    for one in configuration:
        if not isinstance(one, Configured):
            allowed = "Parameter('name', parameter=…) or Secret('name', secret=…)"
            faults.add("configuration", one, allowed, _NAME_PAGE)
            continue
        one.check(faults)
        if one.name in seen:
            faults.add("configuration", one.name, "each name once", _NAME_PAGE)
        seen.add(one.name)


def entries_of(configuration: Sequence[Configured]) -> tuple[ConfigurationEntry, ...]:
    """What the function is told: names and places, never a value."""
    if isinstance(configuration, _NO_LIST):
        return ()
    # What is neither is a fault that is told with all others, after this.
    return tuple(one.entry() for one in configuration if isinstance(one, Configured))


def grant_reading(configuration: Sequence[Configured], grantee: iam.IGrantable) -> None:
    """Allow the function to read exactly these values, and to decrypt exactly these with their keys.

    The CDK's own ``grant_read`` allows more than the runtime does (``DescribeParameters``, histories,
    ``DescribeSecret``), and decrypting anything under the key. https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
    """
    from aws_cdk import aws_iam as iam

    principal = grantee.grant_principal
    for statement in _statements(configuration):
        principal.add_to_principal_policy(
            iam.PolicyStatement(
                actions=list(statement.actions),
                resources=list(statement.resources),
                conditions=statement.conditions,
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Statement:
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, list[str]]] | None = None


def _statements(configuration: Sequence[Configured]) -> list[_Statement]:
    parameters = {one.arn(): one for one in configuration if isinstance(one, Parameter)}
    secrets = {one.arn(): one for one in configuration if isinstance(one, Secret)}
    statements = []
    if parameters:
        statements.append(_Statement(actions=("ssm:GetParameters",), resources=tuple(parameters)))
    if secrets:
        statements.append(_Statement(actions=("secretsmanager:GetSecretValue",), resources=tuple(secrets)))
    if len(secrets) > 1:
        # IAM knows no resource for this action. Alone it reads nothing: each secret in the batch is still
        # decided by GetSecretValue above. One secret is read without it.
        # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
        statements.append(_Statement(actions=("secretsmanager:BatchGetSecretValue",), resources=("*",)))
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
    statements += _decrypting("kms:EncryptionContext:PARAMETER_ARN", "StringEquals", parameters)
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    statements += _decrypting("kms:EncryptionContext:SecretARN", "StringLike", secrets)
    return statements


def _decrypting(context: str, operator: str, encrypted: Mapping[str, Configured]) -> list[_Statement]:
    by_key: dict[str, list[str]] = {}
    for arn, one in encrypted.items():
        key = one.key()
        if key is not None:
            by_key.setdefault(key.key_arn, []).append(arn)
    return [
        _Statement(actions=("kms:Decrypt",), resources=(key,), conditions={operator: {context: arns}})
        for key, arns in by_key.items()
    ]


def _check(faults: Faults, one: Configured) -> None:
    if not _NAME.fullmatch(one.name):
        allowed = "a letter or _, then up to 63 letters, digits and _ . -"
        faults.add("configuration name", one.name, allowed, _NAME_PAGE)
    if one.form not in _FORMS:
        faults.add(f"form of {one.name!r}", one.form, ", ".join(map(repr, _FORMS)), _NAME_PAGE)
    expiry = _expiry(one.expires_after)
    if is_token(expiry):
        # jitter and refresh are computed from it, and it stands inside JSON in one variable
        faults.add(
            f"expires_after of {one.name!r}", "a token", "a duration known at synth", _EXPIRES_AFTER.page
        )
    elif not _EXPIRES_AFTER.allows(expiry):
        faults.add(f"expires_after of {one.name!r}", expiry, _EXPIRES_AFTER.allowed, _EXPIRES_AFTER.page)


def _is_arn(source: str, service: str) -> bool:
    parts = source.split(":", 5)
    return len(parts) == 6 and parts[0] == "arn" and parts[2] == service


def _expiry(duration: Duration | None) -> float:
    return seconds(duration, default=_EXPIRES_AFTER.default or 0)
