from __future__ import annotations

import pytest

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.answers import complete
from carrental_mlops.scaffold.catalogue import Question, find

QUESTIONS = find("fraud-realtime").questions


def test_defaults_fill_what_is_not_given() -> None:
    answers = complete(QUESTIONS, {"name": "branch-fraud"})
    assert answers["package"] == "branch_fraud"
    assert answers["tier"] == "1"
    assert answers["ci"] == "gitlab"


@pytest.mark.parametrize(
    "name", ["Fraud", "fraud_payments", "-fraud", "fraud-", "fr aud", "../fraud", "", "a" * 41, "9lives", "f/x"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(TemplateError, match=r"`name` is .* kebab-case.*\nFix: crm new --set name=fraud-payments"):
        complete(QUESTIONS, {"name": name, "package": "fraud"})


@pytest.mark.parametrize(
    "package", ["../../etc", "class", "json", "pandas", "Fraud", "a-b", "{{ cookiecutter.name }}", "/tmp/x"]
)
def test_a_bad_package_is_refused(package: str) -> None:
    with pytest.raises(TemplateError, match="`package`"):
        complete(QUESTIONS, {"package": package})


@pytest.mark.parametrize("owner", ["nobody", "a@b", "x@y.z\nadmin: true", 'a"@b.c', "{{7*7}}@example.com"])
def test_a_bad_owner_is_refused(owner: str) -> None:
    with pytest.raises(TemplateError, match="must be an e-mail address"):
        complete(QUESTIONS, {"owner": owner})


def test_a_choice_names_what_is_allowed() -> None:
    with pytest.raises(TemplateError, match="`tier` is '4': must be one of 1, 2, 3"):
        complete(QUESTIONS, {"tier": "4"})


def test_an_answer_to_no_question_names_the_closest() -> None:
    with pytest.raises(TemplateError, match="no question `onwer`\nFix: rename it to `owner`"):
        complete(QUESTIONS, {"onwer": "a@example.com"})


def test_free_text_takes_no_template_syntax() -> None:
    with pytest.raises(TemplateError, match="one line"):
        complete([Question("purpose", "Purpose", "x")], {"purpose": "{% include '/etc/passwd' %}"})


def test_a_package_that_a_service_name_makes_is_checked_too() -> None:
    with pytest.raises(TemplateError, match="has taken"):
        complete(QUESTIONS, {"name": "json"})
