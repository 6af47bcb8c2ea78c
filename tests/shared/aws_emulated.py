"""An AWS on 127.0.0.1 for Terraform: moto's server, the buckets that an account has, a repo that is set up for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from carrental_mlops.scaffold.render import new_repo

ACCOUNT, REGION = "123456789012", "eu-central-1"
PROVIDER = "registry.terraform.io/hashicorp/aws"
OVERLAY = f"""
deploy:
  cost_centre: "4711"
  aws: {{region: {REGION}, account: "{ACCOUNT}"}}
  infra:
    state_bucket: carrental-staging-terraform-state
    access_log_bucket: carrental-staging-access-logs
    bucket_prefix: carrental
    cluster: carrental-staging
    cluster_oidc_provider_arn: arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{REGION}.amazonaws.com/id/ABCDEF
    ci_oidc_provider_arn: arn:aws:iam::{ACCOUNT}:oidc-provider/gitlab.example.com
    ci_subjects:
      reader: ["project_path:ds/fraud-payments:*"]
      trainer: ["project_path:ds/fraud-payments:ref_type:branch:ref:main"]
      approver: ["project_path:ds/fraud-payments-approvals:ref_type:branch:ref:main"]
      deployer: ["project_path:ds/fraud-payments-releases:ref_type:branch:ref:main"]
"""
_LOG_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::carrental-staging-access-logs/*",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ],
}
_OVERRIDE = """
terraform {
  backend "s3" {
    use_path_style              = true
    skip_credentials_validation = true
  }
}

provider "aws" {
  s3_use_path_style       = true
  skip_metadata_api_check = true
}
"""


def terraform_or_skip() -> str:
    """Terraform's path, or a skipped test."""
    found = os.environ.get("CRM_TERRAFORM") or shutil.which("terraform")
    if not found:
        pytest.skip("no terraform: set CRM_TERRAFORM, or put it on PATH")
    return found


def cli_config(folder: Path) -> Path:
    """A file for TF_CLI_CONFIG_FILE that names the local mirror with the AWS provider, or a skipped test.

    The mirror: CRM_TERRAFORM_MIRROR, else what lies in a usual place below /usr or /opt.
    """
    named = os.environ.get("CRM_TERRAFORM_MIRROR")
    places = [Path(named)] if named else [*Path("/usr/share").glob("terraform/plugins"), *Path("/opt").glob("*")]
    found = next((place for place in places if (place / PROVIDER).is_dir()), None)
    if found is None:
        pytest.skip("no mirror with Terraform's AWS provider: set CRM_TERRAFORM_MIRROR (terraform providers mirror)")
    path = folder / "terraform.rc"
    path.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{found}"\n  }}\n}}\n')
    return path


@contextmanager
def emulated_aws(folder: Path) -> Iterator[dict[str, str]]:
    """moto's server; the environment that points AWS's tools at it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        script = str(Path(__file__).with_name("aws_emulator.py"))
        command = [sys.executable, script, "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(port, server)
        url = f"http://127.0.0.1:{port}"
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_REGION": REGION,
            "TF_CLI_CONFIG_FILE": str(cli_config(folder)),
        }
    finally:
        server.terminate()
        server.wait(20)


def client(env: dict[str, str], service: str) -> Any:
    """boto3's client of the emulated AWS."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id="emulated",
        aws_secret_access_key="emulated",
    )


def prepare(env: dict[str, str], root: Path) -> None:
    """The two buckets that the account has, and the emulator's quirks in the repo at `root`."""
    s3 = client(env, "s3")
    for name in ("carrental-staging-terraform-state", "carrental-staging-access-logs"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_policy(Bucket="carrental-staging-access-logs", Policy=json.dumps(_LOG_POLICY))
    (root / "deploy" / "terraform" / "emulator_override.tf").write_text(_OVERRIDE)


def repo_for(env: dict[str, str], folder: Path) -> Path:
    """A fresh model repo with staging set up, in an account that is prepared."""
    root = new_repo("fraud-realtime", {}, folder).path
    overlay = root / "config" / "staging.yaml"
    given = yaml.safe_load(overlay.read_text())
    given["deploy"] |= yaml.safe_load(OVERLAY)["deploy"]
    overlay.write_text(yaml.safe_dump(given, sort_keys=False))
    prepare(env, root)
    return root


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "moto's server ended"
        time.sleep(0.2)
    raise AssertionError("moto's server does not answer")
