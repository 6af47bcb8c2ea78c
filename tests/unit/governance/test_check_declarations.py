"""Feature declarations are read from the text in the ways that teams write them."""

from __future__ import annotations

import pytest

from carrental_mlops.governance.declarations import Declarations, read

SOURCES = """
from pathlib import Path
from feast import FileSource as Files
BASE = "s3://crm"
CUSTOMERS = Files(name="crm", path=BASE + "/customers/")
"""


def views(text: str) -> Declarations:
    return read({"src/pay/feature_views.py": text, "src/pay/sources.py": SOURCES, "src/pay/broken.py": "def ("})


@pytest.mark.parametrize(
    "text",
    [
        'from feast import FeatureView\nfrom pay.sources import CUSTOMERS\nV = FeatureView(name="c", source=CUSTOMERS)',
        'import feast\nV = feast.FeatureView(\n  name="c", source=feast.FileSource(name="crm", path="s3://crm/customers/"))',
        'from feast import FeatureView\nfrom pay.sources import CUSTOMERS as SAME\nS = SAME\nN = "c"\n'
        "def made():\n    return [FeatureView(name=N, source=S)]",
        'from feast import FeatureView, PushSource\nfrom pay.sources import CUSTOMERS\n'
        'V = FeatureView(name="c", source=PushSource(name="push", batch_source=CUSTOMERS))',
        'from feast import stream_feature_view\nfrom pay.sources import CUSTOMERS\n'
        "@stream_feature_view(source=CUSTOMERS)\ndef c(df):\n    return df",
    ],
    ids=["imported", "attribute", "renamed", "pushed", "decorated"],
)  # fmt: skip
def test_a_view_and_where_its_source_lies_are_read(text: str) -> None:
    found = views(text)
    (view,) = found.views
    assert view.name == "c" and view.source is not None and found.unreadable == []
    assert (view.source.name, view.source.at) == ("crm", "s3://crm/customers/")


def test_a_view_on_demand_needs_no_source() -> None:
    found = views("from feast import on_demand_feature_view\n@on_demand_feature_view(sources=[])\ndef ratio(df): ...")
    assert [(v.name, v.source) for v in found.views] == [("ratio", None)] and found.unreadable == []


def test_what_takes_running_the_code_is_told_with_its_line() -> None:
    found = views('import os\nfrom feast import FeatureView, FileSource\n'
                  'V = FeatureView(name=os.environ["N"], source=FileSource(path=os.environ["P"]))')  # fmt: skip
    assert {(path, line) for path, line, _ in found.unreadable} == {("src/pay/feature_views.py", 3)}
    assert {what for *_, what in found.unreadable} == {"the name of a FeatureView", "where a FileSource lies"}


def test_a_class_of_another_library_is_no_view() -> None:
    assert views("from other import FeatureView\nV = FeatureView(name='c')").views == []


def test_histories_and_stored_features_of_a_feature_set_are_read() -> None:
    found = read({"src/pay/features.py": '''
from carrental_mlops.data.features import FeatureSet, History
DAYS = (1, 7)
class Features(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=DAYS, mean=("eur",)),)
    stored = ("branch:size", *[])
'''})  # fmt: skip
    (view,) = found.histories
    assert view.features == {"count_1d", "count_7d", "eur_mean_1d", "eur_mean_7d"}
    assert found.entities[0][0] == "customer_id"
    assert [what for _, _, what in found.unreadable] == ["`stored` of Features"]
