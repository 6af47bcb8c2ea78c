"""What Terraform is given of crm.yaml: variables of the module, and where the state lies."""

from __future__ import annotations

from typing import Any

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.infra.batch_access import batch_access
from carrental_mlops.errors import ConfigError

_NEEDED = ("state_bucket", "access_log_bucket", "bucket_prefix", "cluster", "cluster_oidc_provider_arn",
           "ci_oidc_provider_arn")  # fmt: skip


def variables_of(config: RepoConfig, env: str) -> dict[str, Any]:
    """Terraform's variable `crm` for `env`, of `modules/place` and `modules/model-service`; `config` is that of `env`.

    Raises:
        ConfigError: `env` is the first environment, which has no infrastructure, or something is not said.
    """
    hold(config, env)
    deploy, infra = config.deploy, config.deploy.infra
    return {
        "name": config.service,
        "env": env,
        "tier": config.tier,
        "owner": config.owner,
        "cost_centre": deploy.cost_centre,
        "data_class": deploy.data_class,
        "region": deploy.aws.region,
        "account": deploy.aws.account,
        "namespace": deploy.namespace,
        "bucket_prefix": infra.bucket_prefix,
        "access_log_bucket": infra.access_log_bucket,
        "cluster_name": infra.cluster,
        "cluster_oidc_provider_arn": infra.cluster_oidc_provider_arn,
        "ci_oidc_provider_arn": infra.ci_oidc_provider_arn,
        "ci_audience": infra.ci_audience,
        "ci_subjects": infra.ci_subjects.model_dump(mode="json"),
        "permissions_boundary": infra.permissions_boundary,
        "secrets": list(infra.secrets),
        "rotation_lambda_arn": infra.rotation_lambda_arn,
        "alarm_emails": list(infra.alarm_emails) or ([config.owner] if "@" in config.owner else []),
        "monthly_budget_usd": infra.monthly_budget_usd,
        "minimum_pods": deploy.autoscale.minimum,
        "batch": batch_access(config),
    }


def backend_of(config: RepoConfig, env: str) -> dict[str, str]:
    """Where the state of `env` lies: an S3 object, encrypted, with its lock `<key>.tflock` beside it."""
    return {
        "bucket": str(config.deploy.infra.state_bucket),
        "key": f"{config.service}/{env}.tfstate",
        "region": config.deploy.aws.region,
        "encrypt": "true",
        "use_lockfile": "true",
    }


def hold(config: RepoConfig, env: str) -> None:
    """Refuse what Terraform could not be given.

    Raises:
        ConfigError: names every key that is missing, and the overlay that it belongs to.
    """
    if env == config.local:
        others = ", ".join(config.environments[1:]) or "an environment after the first"
        raise ConfigError(f"`{env}` runs on this machine and has no infrastructure", f"--env: {others}")
    deploy = config.deploy
    missing = [f"deploy.infra.{name}" for name in _NEEDED if getattr(deploy.infra, name) is None]
    missing += [f"deploy.{name}" for name in ("cost_centre",) if getattr(deploy, name) is None]
    missing += ["deploy.aws.account"] if deploy.aws.account is None else []
    roles = deploy.infra.ci_subjects
    missing += [f"deploy.infra.ci_subjects.{name}" for name in type(roles).model_fields if not getattr(roles, name)]
    if missing:
        raise ConfigError(
            f"config/{env}.yaml does not say {', '.join(missing)}", f"add them; crm config explain {missing[0]}"
        )
    if deploy.infra.secrets and deploy.infra.rotation_lambda_arn is None:
        raise ConfigError(
            f"config/{env}.yaml: secrets without deploy.infra.rotation_lambda_arn", "name the function that renews them"
        )
