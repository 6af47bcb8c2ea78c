"""Which IAM role pods take (IRSA): the one that crm.yaml names, else the one that `crm infra apply` makes."""

from __future__ import annotations

from typing import Literal

from carrental_mlops.config import RepoConfig

PodRole = Literal["pod", "batch"]
"""Roles of `terraform/modules/model-service` that pods take: the service's, and the batch job's."""


def role_arn_of(config: RepoConfig, env: str, role: PodRole) -> str | None:
    """ARN of `role` in `env`; None: the pods have none.

    Where crm.yaml names no role and says what `crm infra` needs for one (`deploy.aws.account`,
    `deploy.infra.cluster_oidc_provider_arn`), it is the module's: `<service>-<env>-<role>`.
    """
    deploy = config.deploy
    named = deploy.aws.role_arn if role == "pod" else deploy.batch and deploy.batch.role_arn
    if named or not made_by_infra(config):
        return named or None
    return f"arn:aws:iam::{deploy.aws.account}:role/{config.service}-{env}-{role}"


def made_by_infra(config: RepoConfig) -> bool:
    """Whether `crm infra` makes the roles of this environment's pods."""
    return bool(config.deploy.aws.account and config.deploy.infra.cluster_oidc_provider_arn)
