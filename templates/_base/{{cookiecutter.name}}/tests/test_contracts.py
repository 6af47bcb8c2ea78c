# Managed by crm.
"""What `crm` and the service rely on: every pipeline, in every environment, and one set of features for all."""

from pathlib import Path
from typing import Any

from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.testing import check_pipeline, check_service

from {{ cookiecutter.package }}.feature_views import VIEWS


def named(repo: ModelRepo, attribute: str) -> set[Any]:
    """What the steps of all pipelines name, such as their feature set."""
    steps = (step for pipeline in repo.pipelines().values() for step in pipeline.slots().values())
    return {value for step in steps if (value := getattr(step, attribute, None)) is not None}


def test_pipelines_are_wired_and_configured_in_every_environment(repo: Path) -> None:
    first, *others = open_repo(repo).config.environments
    for env in (None, *others):
        opened = open_repo(repo, env)
        for pipeline in opened.pipelines().values():
            check_pipeline(pipeline)
            assert opened.step_configs(pipeline), (first, env)


def test_service_keeps_its_contract(repo: Path) -> None:
    (service,) = named(open_repo(repo), "service")
    check_service(service)


def test_rows_and_requests_are_held_to_one_schema(repo: Path) -> None:
    opened = open_repo(repo)
    assert {service.schema for service in named(opened, "service")} == named(opened, "schema")


def test_training_service_and_feast_share_one_feature_set(repo: Path) -> None:
    opened = open_repo(repo)
    (features,) = named(opened, "feature_set")
    assert {service.feature_set for service in named(opened, "service")} == {features}
    stored = {reference.partition(":")[0] for reference in features.references()}
    assert stored <= {view.name for view in VIEWS}
