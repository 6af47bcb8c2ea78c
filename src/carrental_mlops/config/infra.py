"""The `deploy.infra` section of an overlay: what `crm infra` hands to Terraform."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from carrental_mlops.config.frozen import Frozen

_PROVIDER = r"^arn:aws:iam::[0-9]{12}:oidc-provider/.+$"
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class Subjects(Frozen):
    """`sub` claims of the CI's tokens that may take each IAM role; only the reader's may end in `*`."""

    reader: tuple[str, ...] = ()
    trainer: tuple[str, ...] = ()
    """Writes models and evidence."""
    approver: tuple[str, ...] = ()
    """Writes approvals; nobody who trains."""
    deployer: tuple[str, ...] = ()
    """Pushes images and writes releases."""

    @model_validator(mode="after")
    def _are_apart(self) -> Subjects:
        if both := sorted(set(self.trainer) & set(self.approver)):
            raise ValueError(f"who trains may not approve; both name {', '.join(both)}")
        return self


class Infra(Frozen):
    """Of one environment; each stands in its overlay."""

    state_bucket: Bucket | None = None
    """S3 bucket of Terraform's state, and of its lock."""
    access_log_bucket: Bucket | None = None
    """S3 bucket, of the same account and region, that takes access logs."""
    bucket_prefix: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{1,20}$")
    """Before the artefact bucket's name, which is unique in all of AWS."""
    cluster: str | None = None
    """Name of the EKS cluster."""
    cluster_oidc_provider_arn: str | None = Field(default=None, pattern=_PROVIDER)
    """The cluster's OIDC provider: pods take their role through it."""
    ci_oidc_provider_arn: str | None = Field(default=None, pattern=_PROVIDER)
    """The CI's OIDC provider: jobs take the four roles through it."""
    ci_audience: str = "sts.amazonaws.com"
    """Audience of the CI's tokens."""
    ci_subjects: Subjects = Subjects()
    batch_key_arns: tuple[
        Annotated[str, Field(pattern=r"^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-zA-Z-]+$")], ...
    ] = ()
    """KMS keys of the buckets that the batch job reads rows from and writes answers to."""
    permissions_boundary: str | None = None
    """ARN of the policy that bounds every role, where the account has one."""
    secrets: tuple[str, ...] = ()
    """Secrets that get a place in Secrets Manager; their values never stand here."""
    rotation_lambda_arn: str | None = None
    """Function that renews the secrets."""
    alarm_emails: tuple[str, ...] = ()
    """Who is told of alarms and of the budget; unset: the owner, where that is a mail address."""
    monthly_budget_usd: float = Field(default=300, gt=0)
    """Cost a month (USD) at which somebody is told."""
    artefacts_gb: float = Field(default=20, ge=0)
    """Expected size of artefacts and images (GB), for `crm infra cost`."""
    logs_gb: float = Field(default=30, ge=0)
    """Expected logs a month (GB), for `crm infra cost`."""
