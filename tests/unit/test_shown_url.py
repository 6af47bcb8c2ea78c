from __future__ import annotations

import pytest

from carrental_mlops.errors import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se/c@ret@h:5/db", "postgresql://me:***@h:5/db"),
        ("postgresql://me@h/db?password=secret&x=1", "postgresql://me@h/db?password=***&x=1"),
        ("redis://:secret@h:6379/0", "redis://:***@h:6379/0"),
        ("https://token@h/mlflow", "https://***@h/mlflow"),
        ("https://me:secret@h/mlflow", "https://***@h/mlflow"),
        ("https://h:8080/a", "https://h:8080/a"),
        ("sqlite:////work/.crm/mlflow.db", "sqlite:////work/.crm/mlflow.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
