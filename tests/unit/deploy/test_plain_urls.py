"""Outside the first environment every store is reached over TLS, verified; a URL's password is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests.plain_urls import plain_urls
from carrental_mlops.deploy.manifests.render import preview_release, render
from carrental_mlops.errors import ConfigError


def _config(**values: Any) -> RepoConfig:
    columns = {"id": "id", "time": "at", "label": "y", "entities": ["id"]}
    told = {"service": "fraud", "package": "fraud", "owner": "a@example.com", "tier": 1, "columns": columns, "slo": {}}
    return RepoConfig.model_validate({**told, **values})


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"feast": {"online": "redis://cache:6379/0"}}, "feast.online", "rediss://"),
        ({"feast": {"online": "rediss://cache:6379/0?ssl_cert_reqs=none"}}, "feast.online", "turns verification off"),
        ({"mlflow": {"tracking_uri": "http://mlflow:5000"}}, "mlflow.tracking_uri", "https://"),
        ({"mlflow": {"tracking_uri": "postgresql://u@db/mlflow"}}, "mlflow.tracking_uri", "sslmode=verify-full"),
        ({"mlflow": {"tracking_uri": "postgresql+psycopg2://db/m?sslmode=require"}}, "mlflow.tracking_uri", "verify"),
        ({"zenml": {"server": "http://zenml:8080"}}, "zenml.server", "https://"),
        ({"steps": {"ingest": {"source": "mysql://db/rentals"}}}, "steps.ingest.source", "ssl_ca"),
        ({"serving": {"audit": {"sink": "http://opensearch:9200/x"}}}, "serving.audit.sink", "https://"),
        ({"serving": {"audit": {"sink": "kafka://broker:9092/audit"}}}, "serving.audit.sink", "plain port"),
    ],
)  # fmt: skip
def test_a_url_without_verified_tls_is_found(values: dict[str, Any], key: str, said: str) -> None:
    config = _config(**values)
    (finding,) = plain_urls(config, "prod")
    assert (finding.object, finding.rule) == (key, "plain-url")
    assert said in finding.said
    assert plain_urls(config, "local") == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"feast": {"online": "rediss://cache:6379/0"}, "mlflow": {"tracking_uri": "https://mlflow.example.com"}},
        {"mlflow": {"tracking_uri": "postgresql://u@db/m?sslmode=verify-full&sslrootcert=/etc/rds.pem"}},
        {"serving": {"audit": {"sink": "kafka://broker:9098/audit"}}},
        {"steps": {"ingest": {"source": "s3://bucket/daily/"}}},
        {"serving": {"traces": {"endpoint": "http://otel.monitoring:4318/v1/traces"}}},
    ],
)
def test_what_is_verified_or_stays_inside_the_cluster_is_left_alone(values: dict[str, Any]) -> None:
    assert plain_urls(_config(**values), "prod") == []


def test_figures_sent_out_of_the_cluster_are_found() -> None:
    config = _config(serving={"traces": {"endpoint": "http://collector.example.com:4318/v1/traces"}})
    assert [finding.object for finding in plain_urls(config, "staging")] == ["serving.traces.endpoint"]


def test_no_password_is_shown() -> None:
    config = _config(steps={"ingest": {"source": "postgresql://me:hunter2@db/rentals"}})
    (finding,) = plain_urls(config, "prod")
    assert "hunter2" not in str(finding)
    assert "me:***@db" in finding.said


@pytest.mark.parametrize(
    ("values", "mend"),
    [
        ({"feast": {"online": "redis://cache:6379/0"}}, "write rediss://"),
        ({"serving": {"audit": {"sink": "kafka://broker:9092/audit"}}}, "take the TLS listener"),
        ({"serving": {"audit": {"sink": "http://opensearch:9200/x"}}}, "write https://"),
        ({"steps": {"ingest": {"source": "postgresql://db/rentals"}}}, "sslmode=verify-full"),
        ({"mlflow": {"tracking_uri": "http://mlflow:5000"}}, "write https://"),
    ],
)  # fmt: skip
def test_what_would_be_applied_is_refused_while_a_url_is_plain(values: dict[str, Any], mend: str) -> None:
    pytest.importorskip("helm_python")
    config = _config(**values)
    (finding,) = plain_urls(config, "prod")
    with pytest.raises(ConfigError, match=mend) as refused:
        render(config, "prod", preview_release(config, "prod"))
    assert finding.object in refused.value.what and finding.object in refused.value.fix
    assert render(config, "local", preview_release(config, "local")).objects
