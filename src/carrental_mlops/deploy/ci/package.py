"""The pipeline of carrental-mlops itself, from a merge request to a signed release."""

from __future__ import annotations

from carrental_mlops.deploy.ci.definition import Job, Pipeline

_ALWAYS = ("merge_request", "main", "tag")

PACKAGE = Pipeline(
    name="ci",
    stages=("check", "build", "load", "release"),
    variables=("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_PUBLISH_URL"),
    jobs=(
        Job(
            name="test",
            stage="check",
            about="What a newcomer runs, on both Pythons",
            script=(".ci/run",),
            on=_ALWAYS,
            pythons=("3.11", "3.12"),
            packages=("git", "libgomp1", "make"),
            setup=False,
            minutes=90,
        ),
        Job(
            name="changelog",
            stage="check",
            about="A change of the package stands in CHANGELOG.md; a tag is its newest version, with a date",
            script=("python .ci/changelog.py",),
            on=_ALWAYS,
            packages=("git",),
            history=True,
            setup=False,
            minutes=5,
        ),
        Job(
            name="api",
            stage="check",
            about="A changed hook or a lost public name has a major version or its line in CHANGELOG.md",
            script=("make api",),
            on=_ALWAYS,
            history=True,
            minutes=15,
        ),
        Job(
            name="audit",
            stage="check",
            about="Known holes in what pipelines and services install",
            script=tuple(
                f"uvx pip-audit==2.10.1 --strict --disable-pip --require-hashes -r requirements/{name}.txt"
                for name in ("pipelines", "serving", "deploy")
            ),
            on=(*_ALWAYS, "nightly"),
        ),
        Job(
            name="build",
            stage="build",
            about="sdist, wheel and the list of what they need; built twice, the same bytes",
            script=(
                'export SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"',
                "make build && sha256sum dist/* > .crm/ci/build/sha256sums.txt",
                "rm -r dist && make build && sha256sum --check .crm/ci/build/sha256sums.txt",
                "cyclonedx-py requirements requirements/pipelines.txt --output-reproducible"
                " --output-file .crm/ci/build/sbom.cdx.json",
                "cp -r dist .crm/ci/build/dist",
            ),
            on=_ALWAYS,
            needs=("test", "changelog", "api", "audit"),
            keeps=True,
        ),
        Job(
            name="load-test",
            stage="load",
            about="A fresh model of each template, served, under k6",
            script=(".venv/bin/python .ci/load_test.py --out .crm/ci/load-test",),
            on=("main", "nightly", "tag"),
            needs=("build",),
            keeps=True,
            minutes=60,
        ),
        Job(
            name="sign",
            stage="release",
            about="Signed with the job's own identity; the log of sigstore is public",
            script=(
                "cp -r .crm/ci/build/. .crm/ci/sign/",
                "uvx sigstore==4.5.1 sign .crm/ci/sign/dist/* .crm/ci/sign/sbom.cdx.json",
            ),
            on=("tag",),
            needs=("build", "load-test"),
            takes=("build",),
            keeps=True,
            signs=True,
            minutes=10,
        ),
        Job(
            name="publish",
            stage="release",
            about="After a person's yes: GitLab's own index with the job's token, or one that trusts GitHub's OIDC",
            script=(
                'if [ -n "${CI_JOB_TOKEN:-}" ]; then export UV_PUBLISH_USERNAME=gitlab-ci-token'
                ' UV_PUBLISH_PASSWORD="$CI_JOB_TOKEN"'
                ' UV_PUBLISH_URL="$CI_API_V4_URL/projects/$CI_PROJECT_ID/packages/pypi"; fi',
                'test -n "${UV_PUBLISH_URL:-}" || unset UV_PUBLISH_URL',
                "uv publish .crm/ci/sign/dist/*.whl .crm/ci/sign/dist/*.tar.gz",
            ),
            on=("tag",),
            needs=("sign",),
            takes=("sign",),
            environment="release",
            approval=True,
            minutes=10,
        ),
    ),
)
