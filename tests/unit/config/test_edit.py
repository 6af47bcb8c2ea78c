from pathlib import Path

import pytest
import yaml

from carrental_mlops.config.edit import set_values
from carrental_mlops.errors import ConfigError

TEXT = """\
# Who we are
service: fraud
columns:
  id: payment_id  # unique
  entities: [customer_id, branch_id]
"""


def test_a_value_changes_and_every_comment_stays(tmp_path: Path) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text(TEXT)
    path.write_text(set_values(path, {"columns.id": "TX_ID", "columns.rename.TX_AMOUNT": "amount_eur"}))
    assert "# Who we are" in path.read_text() and "# unique" in path.read_text()
    assert yaml.safe_load(path.read_text())["columns"] == {
        "id": "TX_ID",
        "entities": ["customer_id", "branch_id"],
        "rename": {"TX_AMOUNT": "amount_eur"},
    }
    assert [p.name for p in tmp_path.iterdir()] == ["crm.yaml"]


def test_a_key_that_leads_through_a_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text(TEXT)
    with pytest.raises(ConfigError, match="`service` holds 'fraud'"):
        set_values(path, {"service.name": "x"})


def test_a_missing_file_says_where_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not found\nFix: .*crm new"):
        set_values(tmp_path / "crm.yaml", {"a": 1})


def test_a_source_with_a_question_mark_is_quoted_within_braces(tmp_path: Path) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text('ingest: {source: "sim://fraud?rows=1", query: "a?b"}\n')
    text = set_values(path, {"ingest.source": "sim://fraud?rows=8000&days=90"})
    assert yaml.safe_load(text)["ingest"] == {"source": "sim://fraud?rows=8000&days=90", "query": "a?b"}
