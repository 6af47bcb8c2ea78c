"""Past decisions made again: the same version changes nothing, another one says what and how much."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import orjson
import pytest
from audit_parts import kept, key_file
from audit_repo import make_bundle, make_repo, model_of, payment_of

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.serving import protocol
from carrental_mlops.serving.audit_log import Window, time_of
from carrental_mlops.serving.load import Bundle, open_app
from carrental_mlops.serving.replay import Pick, replay
from carrental_mlops.serving.segments import segments


async def _answer_all(root: Path, bundle: Path, amounts: list[float]) -> None:
    """The service's own request path and trail, without the network."""
    endpoint = open_app(root, bundle).endpoint
    await endpoint.start()
    for number, amount in enumerate(amounts):
        body = orjson.dumps(payment_of(number, amount))
        await endpoint.answer(protocol.read(body, endpoint.signature.names, 100), 1e12)
    await endpoint.stop()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repo whose version 1 answered 200 requests, and the folder of models."""
    root = make_repo(tmp_path_factory.mktemp("replay") / "repo")
    models = root.parent
    make_bundle(models / "1", model_of(0), "1")
    make_bundle(models / "2", model_of(0, threshold=0.2), "2")
    make_bundle(models / "3", model_of(7), "3")
    amounts = np.random.default_rng(3).uniform(0, 2_000, 200).round(2).tolist()
    asyncio.run(_answer_all(root, models / "1", amounts))
    return root, models


def _config(root: Path) -> RepoConfig:
    return repo_config(load(root))


def test_the_same_version_changes_nothing_bit_for_bit(audited: tuple[Path, Path]) -> None:
    root, models = audited
    told = replay(root, _config(root), Bundle.read(models / "1"), None, Pick())
    assert (told.events, told.rows, told.rescored, told.changes) == (200, 200, 0, [])
    assert (told.without_input, told.refused) == (0, {})
    assert told.stakes() == {}


def test_another_threshold_changes_decisions_and_no_score_and_says_the_money(audited: tuple[Path, Path]) -> None:
    root, models = audited
    told = replay(root, _config(root), Bundle.read(models / "2"), None, Pick())
    expected = [event["data"] for event in kept(root / ".crm" / "audit") if 0.2 <= event["data"]["score"][0] < 0.5]
    assert told.rescored == 0
    assert len(told.changes) == len(expected) > 0
    assert list(told.stakes()) == ["accept -> block"]
    stake = told.stakes()["accept -> block"]
    assert stake["rows"] == len(expected)
    assert stake["amount_eur"] == pytest.approx(sum(data["inputs"]["amount_eur"][0] for data in expected))
    first = told.changes[0]
    assert (first.version, first.decision, first.new_decision, first.score) == ("1", "accept", "block", first.new_score)


def test_another_model_gives_other_scores(audited: tuple[Path, Path]) -> None:
    root, models = audited
    told = replay(root, _config(root), Bundle.read(models / "3"), None, Pick())
    assert told.rescored > 100


def test_one_request_a_window_and_a_sample_by_seed(audited: tuple[Path, Path]) -> None:
    root, models = audited
    config, bundle = _config(root), Bundle.read(models / "2")
    assert replay(root, config, bundle, None, Pick("client-5")).events == 1
    times = sorted(time_of(event) for event in kept(root / ".crm" / "audit"))
    assert replay(root, config, bundle, None, Pick(window=Window(times[10], times[19]))).events == 10
    some = replay(root, config, bundle, None, Pick(sample=30, seed=1))
    assert some.events == 30
    assert some == replay(root, config, bundle, None, Pick(sample=30, seed=1))
    chosen = [{e["id"] for e in Pick(sample=30, seed=n).chosen(root / ".crm" / "audit")} for n in (1, 2)]
    assert chosen[0] != chosen[1]
    assert replay(root, config, bundle, None, Pick(window=Window(since=times[-1] + 1))).events == 0


def test_an_id_that_is_not_there_and_a_key_that_does_not_fit_are_told(audited: tuple[Path, Path]) -> None:
    root, models = audited
    with pytest.raises(DataError, match="no event nobody"):
        replay(root, _config(root), Bundle.read(models / "1"), None, Pick("nobody"))
    with pytest.raises(DataError, match="was sealed under key"):
        replay(root, _config(root), Bundle.read(models / "1"), key_file(models / "keys"), Pick())
    config = repo_config(load(root, None, ("serving.audit.input_key_file=null",)))
    with pytest.raises(ConfigError, match="the full input is not kept"):
        replay(root, config, Bundle.read(models / "1"), None, Pick())


def test_events_without_an_input_and_those_that_the_service_refuses_now_are_counted(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    bundle = make_bundle(tmp_path / "1", model_of(0))
    asyncio.run(_answer_all(root, bundle, [10.0, 20.0, 30.0]))
    (sealed,) = segments(root / ".crm" / "audit-inputs", "inputs")
    whole = sealed.read_bytes().splitlines(keepends=True)
    sealed.write_bytes(b"".join(whole[:3]))
    told = replay(root, _config(root), Bundle.read(bundle), None, Pick())
    assert (told.events, told.without_input) == (2, 1)

    sealed.write_bytes(b"".join(whole))
    other = make_repo(tmp_path / "other")
    service = next(other.glob("src/*/service.py"))
    service.write_text(service.read_text().replace("Field(ge=0)", "Field(ge=15)"))
    (other / "key").write_bytes((root / "key").read_bytes())
    (root / ".crm").rename(other / ".crm")
    told = replay(other, _config(other), Bundle.read(bundle), None, Pick())
    assert told.events == 2
    assert sum(told.refused.values()) == 1
    assert "amount_eur" in next(iter(told.refused))
