"""The batch job: its times, its objects, what is refused, and whom it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from batch_jobs import IMAGE, with_batch
from pydantic import ValidationError
from releases import NOON
from rendered_repos import NEW, OLD, config_of, with_everything
from watched import config, said, tool

from carrental_mlops.config.cron import Cron
from carrental_mlops.deploy.cluster.deployment import alone_in
from carrental_mlops.deploy.diff.objects import diff
from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.batch import hold_pipelines
from carrental_mlops.deploy.manifests.network import batch_egress_of
from carrental_mlops.deploy.manifests.policy import check
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.values import as_now
from carrental_mlops.deploy.observe.alerts import alerts_of
from carrental_mlops.deploy.observe.rules import rules_of
from carrental_mlops.deploy.releases.draft import Draft, WantedRelease
from carrental_mlops.errors import ConfigError

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("text", "gap_s"),
    [
        ("0 3 * * *", DAY),
        ("*/15 * * * *", 900),
        ("0 6,18 * * *", 12 * HOUR),
        ("0 3 * * mon", 7 * DAY),
        ("0 3 1 * *", 31 * DAY),
        ("0 9-17 * * *", 16 * HOUR),
        ("0 3 29 feb *", 4 * 365 * DAY + DAY),
        ("0 3 1 * 0", 7 * DAY),  # a day of the month or one of the week
        ("0 3 */2 * 0", 2 * DAY),  # a step names days too
    ],
)
def test_the_longest_time_between_two_runs_follows_from_the_schedule(text: str, gap_s: int) -> None:
    assert Cron.of(text).longest_gap_s() == gap_s


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 3 * *", "five fields"),
        ("@daily", "five fields"),
        ("60 3 * * *", "minute: `60` does not lie in 0 to 59"),
        ("0 3 * * 7", "day of the week: `7`"),
        ("0 5-3 * * *", "hour: `5-3`"),
        ("0 */0 * * *", "hour"),
        ("a 3 * * *", "minute: `a` is no number"),
        ("0 3 31 feb *", "never comes"),
    ],
)
def test_a_text_that_kubernetes_would_not_run_is_refused_where_it_is_written(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        with_batch(config_of(), schedule=text)


def job_of(made: Any) -> dict[str, Any]:
    """The CronJob among objects."""
    (found,) = [one for one in made if one["kind"] == "CronJob"]
    return dict(found)


@pytest.mark.parametrize("platform", ["seldon", "kserve"])
def test_it_is_a_cron_job_beside_the_service_on_both_platforms(platform: str) -> None:
    role = "arn:aws:iam::123456789012:role/batch"
    more = {"suspend": True, "retries": 2, "deadline_s": 900, "keep_failed": 5, "role_arn": role}
    rendered = render(with_batch(config_of(platform=platform), **more), "prod", NEW)
    made = job_of(rendered.objects)["spec"]
    assert (made["schedule"], made["timeZone"], made["concurrencyPolicy"]) == ("0 3 * * *", "Etc/UTC", "Forbid")
    assert (made["suspend"], made["successfulJobsHistoryLimit"], made["failedJobsHistoryLimit"]) == (True, 3, 5)
    job = made["jobTemplate"]["spec"]
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (900, 2)
    (container,) = job["template"]["spec"]["containers"]
    assert (container["image"], container["command"]) == (IMAGE, ["crm", "run", "batch_inference"])
    assert container["args"] == ["--env=prod", f"--version={NEW.model.version}@{NEW.model.digest}"]
    (account,) = [one for one in rendered.objects
                  if one["kind"] == "ServiceAccount" and one["metadata"]["name"] == "fraud-payments-batch"]  # fmt: skip
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == role
    assert job["template"]["spec"]["serviceAccountName"] == "fraud-payments-batch"
    assert check(rendered.objects) == ()


def test_without_one_nothing_of_the_service_changes() -> None:
    plain, beside = (render(one, "local", NEW).objects for one in (config_of("local"), with_batch(config_of("local"))))
    found = {change.object: change for change in diff(plain, beside)}
    assert {name for name in found if "batch" in name} == {
        "CronJob fraud-payments-batch", "NetworkPolicy fraud-payments-batch", "ServiceAccount fraud-payments-batch",
    }  # fmt: skip
    assert {name for name in found if "batch" not in name} == {
        "NetworkPolicy fraud-payments", "PrometheusRule fraud-payments", "ConfigMap fraud-payments-dashboard",
    }  # fmt: skip
    assert not any(change.restarts for change in found.values())


def _model_of(made: Any) -> str:
    pod = job_of(made)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return str(pod["containers"][0]["args"][-1])


def test_it_runs_the_champions_model_while_another_is_tried_and_a_rollback_brings_that_back() -> None:
    config = with_batch(config_of(rollout={"kind": "canary", "steps": [10, 50]}))
    old, new = ({"version": one.model.version, "digest": one.model.digest} for one in (OLD, NEW))
    assert old != new
    before = Draft(config, "prod", WantedRelease("jane"), OLD.image, OLD.model, (), (), None)
    first = before.stored("prod-1", None, None, NOON)
    tried = Draft(config, "prod", WantedRelease("jane"), NEW.image, NEW.model, (), (), None).stored(
        "prod-2", first.release, "prod-1", NOON
    )
    assert _model_of(first.manifests) == _model_of(tried.manifests) == "--version={version}@{digest}".format(**old)
    promoted = helm.render(alone_in(tried), "fraud-payments", "models")
    assert _model_of(promoted) == "--version={version}@{digest}".format(**new)
    back = helm.render(as_now(alone_in(first)), "fraud-payments", "models")
    assert _model_of(back) == "--version={version}@{digest}".format(**old)


def test_callers_of_the_service_do_not_reach_it_and_it_has_ways_out_of_its_own() -> None:
    config = with_batch(with_everything())
    policies = {one["metadata"]["name"]: one["spec"] for one in render(config, "prod", NEW).objects
                if one["kind"] == "NetworkPolicy"}  # fmt: skip
    service, own = policies["fraud-payments"], policies["fraud-payments-batch"]
    assert service["podSelector"]["matchExpressions"][0]["values"] == ["batch"]
    assert "ingress" not in own and own["policyTypes"] == ["Ingress", "Egress"]
    assert own["podSelector"]["matchLabels"]["crm.carrental/part"] == "batch"
    assert {(one.port, one.purpose) for one in batch_egress_of(config)} == {(443, "registry"), (6379, "features")}
    rows = {"ingest": {"source": "postgresql+psycopg://db.example.com/rows"}}
    assert 5432 in {one.port for one in batch_egress_of(config.model_copy(update={"steps": rows}))}


def test_pipelines_run_one_after_the_other_on_one_disk_and_an_error_of_theirs_is_not_tried_again() -> None:
    made = job_of(
        render(with_batch(config_of(), pipelines=["features", "large_batch"], input_claim="rows"), "prod", NEW).objects
    )
    job = made["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    named = [(one["name"], one["command"][-1]) for one in (*pod["initContainers"], *pod["containers"])]
    assert named == [("features", "features"), ("large-batch", "large_batch")]
    assert all({"name": "state", "mountPath": "/app/.crm"} in one["volumeMounts"] for one in pod["containers"])
    fails = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert [(one["containerName"], one["values"]) for one in fails] == [(name, [1, 2, 4]) for name, _ in named]
    assert {"name": "inputs", "persistentVolumeClaim": {"claimName": "rows", "readOnly": True}} in pod["volumes"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mlflow": {}}, "there is none outside this machine"),
        ({"steps": {}}, "answers of batch_inference would lie on the pod's disk"),
        ({"steps": {"predict": {"output": "answers.parquet"}}}, "steps.predict.output: s3://"),
    ],
)
def test_what_would_be_lost_with_the_pod_is_refused_outside_this_machine(changed: dict[str, Any], said: str) -> None:
    config = with_batch(config_of())
    config = type(config).model_validate({**config.model_dump(mode="json"), **changed})
    with pytest.raises(ConfigError, match=said):
        render(config, "prod", NEW, OLD)
    assert render(config, "local", NEW, OLD).values.batch is not None


def test_a_pipeline_that_the_repo_lacks_is_refused_with_the_nearest(example: Path) -> None:
    from carrental_mlops.core.repo import open_repo

    sets = (f"deploy.batch={{schedule: '0 3 * * *', image: '{IMAGE}', pipelines: [batch_inferense]}}",)
    with pytest.raises(ConfigError, match="batch_inference"):
        hold_pipelines(open_repo(example, None, sets))


@pytest.fixture
def example() -> Path:
    from rendered_repos import EXAMPLE

    return EXAMPLE


def test_a_deadline_is_that_of_the_slo_where_none_is_written() -> None:
    from carrental_mlops.deploy.manifests.batch import batch_deadline_s

    slow = config(latency_class="batch", slo={"deadline_s": 1800, "rps": 1, "error_rate": 0.01})
    assert batch_deadline_s(with_batch(slow)) == 1800
    assert batch_deadline_s(with_batch(config())) == 4 * HOUR
    assert batch_deadline_s(with_batch(slow, deadline_s=60)) == 60


CRON = '{namespace="models",cronjob="payments-batch"}'
JOB = 'namespace="models",job_name="payments-batch-{}"'


def _series(*, well: int | None, failed: int | None, created: int = 0) -> dict[str, str]:
    """Of kube-state-metrics: when a run went well, and when one that failed began (seconds)."""
    found = {f"kube_cronjob_created{CRON}": f"{created}x4000"}
    found |= {} if well is None else {f"kube_cronjob_status_last_successful_time{CRON}": f"{well}x4000"}
    for number, (at, is_so) in enumerate(((0, 0), *(((failed, 1),) if failed is not None else ()))):
        name = JOB.format(number)
        found |= {f"kube_job_status_start_time{{{name}}}": f"{at}x4000",
                  f'kube_job_failed{{{name},condition="true"}}': f"{is_so}x4000"}  # fmt: skip
    return found


LIMIT = DAY + 600 + 4 * HOUR
FIRING = {
    "a failure after the last success": (_series(well=60, failed=120), 10, {"BatchFailed"}),
    "a failure of a job that never went well": (_series(well=None, failed=120), 10, {"BatchFailed"}),
    "a success after the failure": (_series(well=180, failed=120), 10, set()),
    "a job that is new": (_series(well=None, failed=None), 10, set()),
    "a success that is as old as it may be": (_series(well=0, failed=None), LIMIT // 60 - 1, set()),
    "no success in time": (_series(well=0, failed=None), LIMIT // 60 + 7, {"BatchLate"}),
    "none ever": (_series(well=None, failed=None), LIMIT // 60 + 7, {"BatchLate"}),
    "another service's job": ({key.replace("payments-batch", "rentals-batch"): values
                               for key, values in _series(well=None, failed=120).items()}, 2000, set()),
}  # fmt: skip


def test_somebody_is_called_when_a_run_failed_or_none_went_well_in_time_and_else_nobody(tmp_path: Path) -> None:
    tool("promtool")
    watched = with_batch(config())
    rules = [rule for group in rules_of(watched, "prod") for rule in group["rules"]
             if str(rule.get("alert")).startswith("Batch")]  # fmt: skip
    assert [rule["alert"] for rule in rules] == ["BatchFailed", "BatchLate"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": [{"series": key, "values": values} for key, values in series.items()],
            "promql_expr_test": [{
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(expected)],
            }],
        }
        for name, (series, minute, expected) in FIRING.items()
    ]  # fmt: skip
    wanted = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(wanted))
    said("promtool", "test", "rules", tmp_path / "tests.yaml")


def test_its_alerts_have_commands_with_its_names_and_a_suspended_job_is_not_late() -> None:
    found = {alert.name: alert for alert in alerts_of(with_batch(config()), "prod")}
    assert found["BatchFailed"].commands == (
        "kubectl -n models logs -l app.kubernetes.io/name=payments,crm.carrental/part=batch --all-containers --prefix "
        "--tail 50",
        "kubectl -n models describe cronjobs,jobs -l app.kubernetes.io/name=payments",
        "kubectl -n models create job payments-batch-by-hand --from cronjob/payments-batch",
    )
    assert "BatchLate" in found
    suspended = {alert.name for alert in alerts_of(with_batch(config(), suspend=True), "prod")}
    assert "BatchFailed" in suspended and "BatchLate" not in suspended
    assert not {name for alert in alerts_of(config(), "prod") for name in [alert.name] if name.startswith("Batch")}


def test_a_job_that_goes_or_is_suspended_is_said_to_answer_no_more() -> None:
    on, off = (render(with_batch(config_of(), suspend=is_so), "prod", NEW).objects for is_so in (False, True))
    (change,) = [one for one in diff(on, off) if one.object.startswith("CronJob")]
    assert (change.said, change.loses) == ("suspend false to true", "no batch is answered until it goes on")
    (gone,) = [one for one in diff([job_of(on)], [])]
    assert gone.loses == "no batch is answered any more"
