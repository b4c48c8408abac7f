"""One probe per gap around parameters and secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

Stack = Callable[..., dict[str, str]]

_ACCOUNT = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}


def _role(*statements: dict[str, Any]) -> dict[str, Any]:
    """A role that anybody of the account may assume."""
    trust = [{"Effect": "Allow", "Principal": _ACCOUNT, "Action": "sts:AssumeRole"}]
    policy = {"PolicyName": "reading", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": trust},
            "Policies": [policy],
        },
    }


def _as(aws: LocalAws, role: str, service: str) -> Any:
    """A client with the rights of a role."""
    arn = aws.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    session = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="probe")["Credentials"]
    return boto3.client(
        service,
        endpoint_url=aws.endpoint,
        region_name="us-east-1",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )


def test_each_parameter_of_a_batch_is_authorized(local_aws: LocalAws, create_stack: Stack) -> None:
    """A call for several parameters is allowed when each of them is, and refused when one is not."""
    for name in ("/shop/url", "/shop/rates", "/other"):
        local_aws.client("ssm").put_parameter(Name=name, Value="v", Type="String")
    arn = {"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/shop/*"}
    made = create_stack({"Role": _role({"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": arn})})
    ssm = _as(local_aws, made["Role"], "ssm")
    found = ssm.get_parameters(Names=["/shop/url", "/shop/rates:1"])["Parameters"]
    assert sorted(one["Name"] for one in found) == ["/shop/rates", "/shop/url"]
    with pytest.raises(ClientError, match="AccessDenied"):
        ssm.get_parameters(Names=["/shop/url", "/other"])
    calls = [
        (c.resource.partition(":parameter")[2], c.allowed)
        for c in local_aws.calls()
        if c.action == "ssm:GetParameters"
    ]
    assert calls == [("/shop/url", True), ("/shop/rates", True), ("/shop/url", True), ("/other", False)]


def test_a_reference_to_a_secret_is_its_arn(local_aws: LocalAws, create_stack: Stack) -> None:
    """A policy that names a secret by reference allows reading it, and the secret goes with its stack."""
    made = create_stack(
        {
            "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "s"}},
            "Role": _role(
                {
                    "Effect": "Allow",
                    "Action": "secretsmanager:GetSecretValue",
                    "Resource": {"Ref": "Secret"},
                }
            ),
        }
    )
    assert made["Secret"].startswith("arn:aws:secretsmanager:")
    reading = _as(local_aws, made["Role"], "secretsmanager")
    assert reading.get_secret_value(SecretId=made["Secret"])["SecretString"] == "s"
    cloudformation = local_aws.client("cloudformation")
    cloudformation.delete_stack(StackName="Probe")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="Probe", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="ResourceNotFound"):
        local_aws.client("secretsmanager").get_secret_value(SecretId=made["Secret"])


def test_decryption_with_a_customer_key_is_recorded(local_aws: LocalAws, create_stack: Stack) -> None:
    """Reading a value under a customer key uses the caller's right to decrypt, in a context that names it."""
    key = local_aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    local_aws.client("ssm").put_parameter(Name="/rates", Value="v", Type="SecureString", KeyId=key)
    local_aws.client("ssm").put_parameter(Name="/plain", Value="v", Type="SecureString")
    secret = local_aws.client("secretsmanager").create_secret(Name="s", SecretString="s", KmsKeyId=key)["ARN"]
    local_aws.client("ssm").get_parameters(Names=["/rates", "/plain"], WithDecryption=True)
    local_aws.client("secretsmanager").get_secret_value(SecretId=secret)
    uses = [(c.resource, c.context) for c in local_aws.calls() if c.action == "kms:Decrypt"]
    rates = "arn:aws:ssm:us-east-1:000000000000:parameter/rates"
    assert uses == [
        (key, {"kms:EncryptionContext:PARAMETER_ARN": rates}),
        (key, {"kms:EncryptionContext:SecretARN": secret}),
    ]
