"""The IAM role of the batch job: named on its account, and bounded by what its steps read and write."""

from __future__ import annotations

from typing import Any

import pytest
from batch_jobs import with_batch
from rendered_repos import NEW, config_of

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.infra.batch_access import batch_access
from carrental_mlops.deploy.manifests.network import batch_egress_of, egress_of
from carrental_mlops.deploy.manifests.render import render

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
ON_AWS: dict[str, Any] = {"aws": {"account": ACCOUNT}, "infra": {"cluster_oidc_provider_arn": PROVIDER}}


def with_steps(steps: dict[str, Any], deploy: dict[str, Any] = ON_AWS, **batch: Any) -> RepoConfig:
    """A repo whose batch job runs with `steps` of crm.yaml."""
    value = with_batch(config_of(**deploy), outside=False, **batch).model_dump(mode="json")
    return RepoConfig.model_validate({**value, "steps": steps})


def _roles(config: RepoConfig) -> dict[str, str | None]:
    return {one["metadata"]["name"]: one["metadata"]["annotations"].get("eks.amazonaws.com/role-arn")
            for one in render(config, "prod", NEW).objects if one["kind"] == "ServiceAccount"}  # fmt: skip


def test_accounts_of_service_and_batch_job_take_the_roles_that_crm_infra_makes() -> None:
    assert _roles(with_batch(config_of(**ON_AWS))) == {
        "fraud-payments": f"arn:aws:iam::{ACCOUNT}:role/fraud-payments-prod-pod",
        "fraud-payments-batch": f"arn:aws:iam::{ACCOUNT}:role/fraud-payments-prod-batch",
    }


def test_a_role_that_crm_yaml_names_goes_before_and_without_infra_there_is_none() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:role/ours"
    assert _roles(with_batch(config_of(**ON_AWS), role_arn=own))["fraud-payments-batch"] == own
    assert set(_roles(with_batch(config_of())).values()) == {None}


def test_pods_with_a_role_of_crm_infra_may_ask_for_its_credentials() -> None:
    ways = {}
    for name, deploy in (("none", {}), ("made", ON_AWS)):
        config = with_steps({}, deploy)
        ways[name] = [{one.purpose for one in of(config)} for of in (batch_egress_of, egress_of)]
    assert ways == {"none": [set(), set()], "made": [{"AWS"}, {"AWS"}]}


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("s3://rows/fraud/*.parquet", ["s3://rows/fraud/*"]),
        ("s3://rows/fraud/202[56]/", ["s3://rows/fraud/202*"]),
        ("s3://rows/fraud/", ["s3://rows/fraud/*"]),
        ("s3://rows/fraud", ["s3://rows/fraud", "s3://rows/fraud/*"]),
        ("postgresql://db.example.com/rows", []),
        ("data/rows.parquet", []),
    ],
)
def test_it_reads_what_the_source_names(source: str, reads: list[str]) -> None:
    found = batch_access(with_steps({"ingest": {"source": source}}))
    assert found == {"reads": reads, "writes": [], "key_arns": []}


def test_it_writes_where_its_own_answers_go_and_not_those_of_a_pipeline_that_it_does_not_run() -> None:
    steps = {"predict": {"output": "s3://answers/fraud/{run_id}.parquet"},
             "predict_file": {"output": "s3://answers/large/{run_id}.parquet"}}  # fmt: skip
    for pipelines, written in ((["batch_inference"], "fraud"), (["features", "large_batch"], "large")):
        found = batch_access(with_steps(steps, pipelines=pipelines))
        assert found is not None and found["writes"] == [f"s3://answers/{written}/*.parquet"]


def test_a_pipelines_own_step_settings_go_before_those_of_all() -> None:
    config = with_steps({"ingest": {"source": "s3://rows/training/"}})
    own = {"batch_inference": {"steps": {"ingest": {"source": "s3://rows/open/"}}}}
    value = {**config.model_dump(mode="json"), "pipelines": own}
    value["deploy"]["infra"]["batch_key_arns"] = [KEY]
    found = batch_access(RepoConfig.model_validate(value))
    assert found == {"reads": ["s3://rows/open/*"], "writes": [], "key_arns": [KEY]}


def test_without_a_batch_job_terraform_is_told_of_none() -> None:
    assert batch_access(config_of(**ON_AWS)) is None
