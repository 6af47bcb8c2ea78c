"""crm.yaml is read with a line for every key, and each mistake names file, line, key, found, allowed and the mend."""

from pathlib import Path
from typing import final

import pytest

from carrental_mlops.config import Columns, RepoConfig, load, repo_config
from carrental_mlops.core import Pipeline, Step, StepConfig, step
from carrental_mlops.core.binding import step_configs
from carrental_mlops.errors import ConfigError

GOOD = """\
service: fraud
package: fraud
owner: team@example.com
tier: 1
latency_class: real-time
columns:
  id: payment_id
  time: paid_at
  label: is_fraud
  entities: [customer_id]
steps:
  train: {depth: 5}
slo: {p99_ms: 100}
"""


class TrainConfig(StepConfig):
    depth: int = 3
    rate: float = 0.1
    columns: Columns


class TrainStep(Step):
    config: TrainConfig

    @final
    def run(self) -> int:
        return self.config.depth


class ScoreStep(Step):
    @final
    def run(self) -> int:
        return 1


class Training(Pipeline):
    name = "training"
    train = step(TrainStep)

    def build(self) -> None:
        self.train.run()


class Scoring(Pipeline):
    name = "scoring"
    score = step(ScoreStep)

    def build(self) -> None:
        self.score.run()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    write(tmp_path, GOOD)
    return tmp_path


def write(root: Path, text: str, name: str = "crm") -> None:
    (root / "config" / f"{name}.yaml").write_text(text)


def swap(root: Path, old: str, new: str) -> None:
    assert old in GOOD
    write(root, GOOD.replace(old, new))


def read(root: Path, env: str | None = None, *sets: str) -> RepoConfig:
    return repo_config(load(root, env, sets))


MISTAKES = {
    "broken YAML": ("tier: 1", "tier: [1", "crm.yaml:5: not YAML"),
    "tab": ("  id: payment_id", "\tid: payment_id", "crm.yaml:7: not YAML"),
    "duplicate key": ("tier: 1", "tier: 1\ntier: 2", "crm.yaml:5: key `tier` stands twice, first at config/crm.yaml:4"),
    "duplicate nested key": ("  time: paid_at", "  id: x", "crm.yaml:8: key `id` stands twice"),
    "unknown key": ("tier: 1", "tier: 1\ntire: 2", "crm.yaml:5: unknown key `tire`"),
    "unknown nested key": ("p99_ms", "p99_sec", "crm.yaml:13: unknown key `slo.p99_sec`"),
    "wrong type": ("tier: 1", "tier: one", "crm.yaml:4: `tier` is 'one': input should be a valid integer"),
    "out of range": ("tier: 1", "tier: 9", "crm.yaml:4: `tier` is 9"),
    "list for a section": ("{depth: 5}", "[1]", "crm.yaml:12: `steps.train` is [1]"),
    "scalar for columns": ("columns:\n", "columns: 3\nx:\n", "crm.yaml:6: `columns` is 3"),
    "missing key": ("service: fraud\n", "", "crm.yaml:1: required key `service` is missing"),
    "missing nested key": ("  label: is_fraud\n", "", "crm.yaml:6: required key `columns.label` is missing"),
    "unknown latency class": ("real-time", "realtime", "crm.yaml:5: `latency_class` is 'realtime'"),
    "loosened slo": ("p99_ms: 100", "p99_ms: 300", "`slo.p99_ms` is 300.0: the real-time class allows at most 200"),
    "environment twice": ("tier: 1", "tier: 1\nenvironments: [a, a]", "crm.yaml:5: `environments`"),
    "no environment": ("tier: 1", "tier: 1\nenvironments: []", "crm.yaml:5: `environments`"),
    "unknown tag": ("tier: 1", "tier: !!python/object:os.system 1", "crm.yaml:4: not YAML"),
    "impossible date": ("tier: 1", "tier: 2026-13-45", "crm.yaml:4: `2026-13-45`"),
    "alias of itself": ("tier: 1", "tier: &a [*a]", "crm.yaml:4"),
    "list as key": ("tier: 1", "? [a]\n: 1", "crm.yaml:4: a key must be a plain word"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_file_names_file_line_key_and_mend(root: Path, mistake: str) -> None:
    old, new, says = MISTAKES[mistake]
    swap(root, old, new)
    with pytest.raises(ConfigError) as refused:
        read(root)
    assert says in refused.value.what
    assert refused.value.fix


def test_unknown_key_is_told_the_nearest_right_one(root: Path) -> None:
    swap(root, "  label:", "  lable:")
    with pytest.raises(ConfigError, match=r"rename it to `label`|columns.label") as refused:
        read(root)
    assert "config/crm.yaml:9: unknown key `columns.lable`" in refused.value.what


def test_all_problems_of_a_file_are_told_at_once(root: Path) -> None:
    write(root, GOOD.replace("tier: 1", "tier: one").replace("p99_ms: 100", "p99_ms: fast"))
    with pytest.raises(ConfigError) as refused:
        read(root)
    assert "crm.yaml:4" in refused.value.what and "crm.yaml:13" in refused.value.what


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_file_that_is_no_mapping_is_refused(root: Path, text: str) -> None:
    write(root, text)
    with pytest.raises(ConfigError, match=r"crm\.yaml:1"):
        read(root)


def test_file_that_is_not_utf8_or_missing_is_refused(root: Path) -> None:
    (root / "config" / "crm.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read(root)
    (root / "config" / "crm.yaml").unlink()
    with pytest.raises(ConfigError, match=r"config/crm\.yaml not found"):
        read(root)


def test_expansion_bomb_is_refused_quickly(root: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    write(root, "\n".join(lines))
    with pytest.raises(ConfigError, match="grows without end"):
        read(root)


def test_first_environment_is_the_file_itself_and_others_lay_their_overlay_over_it(root: Path) -> None:
    write(root, "steps:\n  train: {depth: 9}\n", "staging")
    assert read(root, "local").steps == read(root).steps == {"train": {"depth": 5}}
    assert read(root, "staging").steps == {"train": {"depth": 9}}
    assert read(root).environments == ("local", "staging", "prod")


def test_unknown_environment_names_those_there_are(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"no environment `stagign`(.|\n)*rename it to `staging`"):
        read(root, "stagign")


def test_environments_are_what_the_repo_lists(root: Path) -> None:
    swap(root, "tier: 1", "tier: 1\nenvironments: [dev, live]")
    write(root, "", "live")
    assert read(root, "live").environments == ("dev", "live")
    with pytest.raises(ConfigError, match=r"crm\.yaml:5: no environment `local`"):
        read(root, "local")


def test_missing_overlay_of_a_listed_environment_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"config/prod\.yaml not found"):
        read(root, "prod")


def test_overlay_of_the_first_environment_is_refused_since_nothing_reads_it(root: Path) -> None:
    write(root, "tier: 2", "local")
    with pytest.raises(ConfigError, match=r"config/local\.yaml is never read"):
        read(root)


def test_mistake_in_an_overlay_names_the_overlay(root: Path) -> None:
    write(root, "slo:\n  rps: many\n", "prod")
    with pytest.raises(ConfigError, match=r"config/prod\.yaml:2: `slo\.rps` is 'many'"):
        read(root, "prod")


def test_latency_class_fills_the_slo_and_a_repo_may_tighten_it(root: Path) -> None:
    assert read(root).slo.p99_ms == 100
    swap(root, "slo: {p99_ms: 100}\n", "")
    assert read(root).slo.p99_ms == 200
    write(root, GOOD.replace("real-time", "near-real-time").replace("slo: {p99_ms: 100}\n", ""))
    assert read(root).slo.p99_ms == 2000
    write(root, GOOD.replace("real-time", "batch").replace("slo: {p99_ms: 100}\n", ""))
    assert read(root).slo.p99_ms is None and read(root).slo.deadline_s == 14400


def test_sections_of_an_environment_are_read_from_its_overlay(root: Path) -> None:
    write(root, "zenml: {stack: aws, server: https://z}\nmlflow: {tracking_uri: http://m}\nseed: 4\n", "prod")
    config = read(root, "prod")
    assert (config.zenml.stack, config.zenml.server) == ("aws", "https://z")
    assert (config.mlflow.tracking_uri, config.seed) == ("http://m", 4)
    assert read(root).zenml.stack is None


def test_set_wins_and_its_mistakes_name_it(root: Path) -> None:
    assert read(root, None, "steps.train.depth=7", "tier=2").tier == 2
    with pytest.raises(ConfigError, match="--set tier=many: `tier` is 'many'"):
        read(root, None, "tier=many")
    with pytest.raises(ConfigError, match=r"--set steps\.trian\.depth=1: no step `trian`"):
        step_configs(Training, load(root, None, ["steps.trian.depth=1"]))
    for pair in ("tier", "=3", "a..b=1"):
        with pytest.raises(ConfigError, match="not of the form"):
            read(root, None, pair)
    with pytest.raises(ConfigError, match="not YAML"):
        read(root, None, "tier=[1")


def test_merge_keys_and_anchors_of_yaml_work(root: Path) -> None:
    swap(root, "  train: {depth: 5}", "  base: &base {depth: 5, rate: 0.2}\n  train:\n    <<: *base\n    depth: 6")
    assert read(root).steps["train"] == {"depth": 6, "rate": 0.2}


def test_step_configs_take_columns_from_the_top_and_values_from_their_section(root: Path) -> None:
    config = step_configs(Training, load(root))["train"]
    assert isinstance(config, TrainConfig)
    assert (config.depth, config.rate, config.columns.id) == (5, 0.1, "payment_id")


def test_values_of_one_pipeline_go_before_those_of_all(root: Path) -> None:
    write(root, GOOD + "pipelines:\n  training:\n    steps:\n      train: {rate: 0.5}\n")
    config = step_configs(Training, load(root))["train"]
    assert isinstance(config, TrainConfig)
    assert (config.depth, config.rate) == (5, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{depth: 5}", "{dept: 5}", "crm.yaml:12: unknown key `steps.train.dept`"),
        ("{depth: 5}", "{depth: deep}", "crm.yaml:12: `steps.train.depth` is 'deep'"),
        ("  train:", "  trian:", "crm.yaml:12: no step `trian`"),
        ("{depth: 5}", "{columns: {}}", "crm.yaml:12: `columns` of one step alone"),
        ("slo:", "pipelines: {training: {steps: {score: {}}}}\nslo:", "crm.yaml:13: training has no step `score`"),
        (
            "slo:",
            "pipelines:\n  training:\n    steps:\n      train: {depht: 1}\nslo:",
            "crm.yaml:16: unknown key `pipelines.training.steps.train.depht`",
        ),
    ],
)
def test_mistake_in_a_step_names_file_line_key_and_mend(root: Path, old: str, new: str, says: str) -> None:
    swap(root, old, new)
    with pytest.raises(ConfigError) as refused:
        step_configs(Training, load(root))
    assert says in refused.value.what
    assert refused.value.fix


def test_slot_of_another_pipeline_of_the_repo_is_not_refused(root: Path) -> None:
    swap(root, "  train: {depth: 5}", "  train: {depth: 5}\n  score: {}")
    with pytest.raises(ConfigError, match="no step `score`"):
        step_configs(Training, load(root))
    assert set(step_configs(Training, load(root), known=[Training, Scoring])) == {"train"}
    assert set(step_configs(Training, load(root), known=["score"])) == {"train"}


def test_unknown_pipeline_is_refused_where_all_are_known(root: Path) -> None:
    swap(root, "slo:", "pipelines: {trianing: {}}\nslo:")
    with pytest.raises(ConfigError, match=r"crm\.yaml:13: no pipeline `trianing`(.|\n)*`training`"):
        step_configs(Training, load(root), known=[Training, Scoring])


def test_each_mend_names_the_line_and_what_the_key_takes(root: Path) -> None:
    swap(root, "tier: 1", "tier: 9")
    with pytest.raises(ConfigError) as refused:
        read(root)
    assert refused.value.fix.startswith("edit config/crm.yaml:4: `tier` takes int (1 takes money")


def test_the_mend_of_a_file_without_keys_is_an_edit_of_its_line(root: Path) -> None:
    write(root, "# a list\n- service\n")
    with pytest.raises(ConfigError) as refused:
        read(root)
    assert "config/crm.yaml:2: found list" in refused.value.what
    assert refused.value.fix == "begin config/crm.yaml:2 with a key and a colon, as in `owner: team@example.com`"


def test_a_section_that_nothing_reads_is_refused(root: Path) -> None:
    swap(root, "tier: 1", "tier: 1\nbilling: {account: fraud}")
    with pytest.raises(ConfigError, match=r"crm\.yaml:5: unknown key `billing`"):
        read(root)
