"""Parameters: every choice composes and validates, and nothing wrong gets past the first stage."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from stages import config as stage
from twin.config.adapter import AdapterConfig
from twin.config.align import Method
from twin.config.load import build, load
from twin.config.rules import check_rules
from twin.config.schema import Config, register, sections
from twin.config.train import TrainConfig
from twin.errors import ConfigError

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
GROUPS = sorted(
    f"{path.parent.relative_to(CONF)}={path.stem}"
    for path in CONF.rglob("*.yaml")
    if path.parent not in (CONF, CONF / "experiment")
)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
NEEDED = {
    "model=local": ["model.folder=/models/mine"],
    "campaign=winner": ["campaign.winner=abc"],
    "4_geometry_on_winner": ["campaign.winner=abc"],
    "5_dpo_on_winner": ["campaign.winner=abc"],
}


def composed(*overrides: str) -> str:
    register()
    with initialize_config_dir(version_base=None, config_dir=str(CONF)):
        params = compose("config", overrides=list(overrides))
        OmegaConf.resolve(params)
    return OmegaConf.to_yaml(params)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").symlink_to(CONF)
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def validated(project: Path, *overrides: str) -> Config:
    (project / "params.yaml").write_text(composed(*overrides))
    return stage.validate()


@pytest.mark.parametrize("choice", GROUPS)
def test_every_choice_composes_and_validates(project: Path, choice: str) -> None:
    assert isinstance(validated(project, choice, *NEEDED.get(choice, [])), Config)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_validates(project: Path, name: str) -> None:
    validated(project, f"+experiment={name}", *NEEDED.get(name, []))


@pytest.mark.parametrize("name", ["4_geometry_on_winner", "5_dpo_on_winner"])
def test_an_experiment_on_the_winner_names_the_missing_winner(project: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"campaign\.winner has no value.*-S campaign\.winner="):
        validated(project, f"+experiment={name}")


def test_alignment_by_preference_is_off_by_default_and_changes_its_method_only(project: Path) -> None:
    off, on = validated(project), validated(project, "align=dpo_demo")
    assert (off.align.method, on.align.method) == (Method.none, Method.dpo)
    assert replace(on, align=off.align) == off
    fifth = validated(project, "+experiment=5_dpo_on_winner", "campaign.winner=abc").align
    assert (fifth.beta, fifth.optimizer.learning_rate, fifth.batch * fifth.accumulate) == (0.1, 5e-6, 8)


@pytest.mark.parametrize(("rate", "warned"), [(1e-5, True), (2e-5, False), (2e-3, False), (3e-3, True)])
def test_a_preference_rate_far_from_the_supervised_one_is_warned_of(
    project: Path, capsys: pytest.CaptureFixture[str], rate: float, warned: bool
) -> None:
    validated(project, "align=dpo_demo", f"align.optimizer.learning_rate={rate}")
    assert ("align.optimizer.learning_rate is" in capsys.readouterr().err) is warned
    validated(project, "align=none", f"align.optimizer.learning_rate={rate}")
    assert capsys.readouterr().err == ""


def test_the_committed_parameters_are_what_conf_composes() -> None:
    assert (ROOT / "params.yaml").read_text() == composed()


def test_the_presets_carry_the_notes_figures(project: Path) -> None:
    lora, dora = validated(project, "+experiment=1_lora_r32_7b"), validated(project, "+experiment=2_dora_r32_3b")
    assert lora.train.updates == dora.train.updates == 500
    assert (lora.train.batch, lora.train.accumulate) == (1, 8)
    assert (dora.train.batch, dora.train.accumulate) == (2, 4)
    assert (lora.optimizer.learning_rate, lora.optimizer.clip, lora.train.max_tokens) == (5e-5, 0.3, 2048)
    assert lora.train.checkpointing and lora.adapter.layers is None


def test_changing_the_rank_changes_alpha_and_keeps_the_scale(project: Path) -> None:
    adapter = validated(project, "adapter.rank=8").adapter
    assert (adapter.rank, adapter.scale, adapter.alpha) == (8, 2.0, 16.0)


def test_keys_are_a_choice_of_their_own(project: Path) -> None:
    adapter = validated(project, "adapter=dora_r8", "adapter/keys=qkvo").adapter
    assert adapter.keys == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert adapter.rank == 8


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adapter.ranks", 8, r"adapter\.ranks is not a parameter.*Did you mean adapter\.rank\?"),
        ("adapter.rank", "abc", r"adapter\.rank: Value 'abc' .*Integer"),
        ("adapter.rank", 0, r"adapter\.rank is 0; it must be at least 1"),
        ("adapter.dropout", 1.0, r"adapter\.dropout is 1\.0; it must be below 1"),
        ("adapter.kind", "qlora", r"adapter\.kind: Invalid value 'qlora'"),
        ("train.updates", "???", r"train\.updates has no value"),
        ("split.train", 0.9, r"split: train \+ valid \+ cal \+ test is 1\.1; it must be 1"),
        ("augment.smoothing", 4, r"augment\.smoothing is 4; a centred average needs an odd width"),
        ("augment.persona", "a\nb", r"augment\.persona has a line break"),
        ("adapter.keys", [], r"adapter\.keys is empty"),
        ("adapter", "dora_r8", r"adapter"),
        ("nothere.x", 1, r"nothere is not a section"),
        ("strict", "perhaps", r"strict is perhaps; it must be true or false"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_and_value(
    project: Path, key: str, value: object, message: str
) -> None:
    params = OmegaConf.create(composed())
    OmegaConf.update(params, key, value, force_add=True)
    (project / "params.yaml").write_text(OmegaConf.to_yaml(params))
    with pytest.raises(ConfigError, match=message):
        stage.validate()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=qwen2.5-7b", "optimizer.learning_rate=2e-4"], r"learning_rate is 0\.0002; .* 2e-05 to 8e-05"),
        (["optimizer.weight_decay=0.2"], r"weight_decay is 0\.2; above 0\.1"),
        (["adapter.rank=8"], r"rank is 8; .*only with DoRA"),
        (["adapter.rank=64"], r"rank is 64; 64 needs weight decay 0\.1"),
        (["adapter.rank=128"], r"rank is 128; from 128 on"),
    ],
)
def test_a_broken_rule_is_a_warning_and_with_strict_an_error(project: Path, overrides: list[str], message: str) -> None:
    (warning,) = check_rules(validated(project, *overrides))
    assert re.search(message, warning)
    with pytest.raises(ConfigError, match=f"params.yaml: strict: .*{message}"):
        validated(project, *overrides, "config=strict")


def test_a_hub_model_without_a_pinned_commit_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.revision is main; a hub model needs its commit"):
        validated(project, "model=qwen2.5-3b", "model.revision=main")


def test_a_stage_reads_its_own_section_only(project: Path) -> None:
    params = OmegaConf.create(composed())
    OmegaConf.update(params, "adapter.rank", "broken")
    (project / "params.yaml").write_text(OmegaConf.to_yaml(params))
    assert load(TrainConfig).updates > 0
    with pytest.raises(ConfigError, match=r"adapter\.rank"):
        load(AdapterConfig)


def test_params_that_are_not_yaml_are_refused_with_the_line(project: Path) -> None:
    (project / "params.yaml").write_text("train: {updates: 3\nadapter:\n")
    with pytest.raises(ConfigError, match=r"params\.yaml:\d+: not YAML\. .*stages\.config reset"):
        load(TrainConfig)


def test_every_section_is_frozen_and_documented() -> None:
    for name, kind in sections().items():
        assert kind.__dataclass_params__.frozen, name
        assert kind.__doc__ and not kind.__doc__.startswith(kind.__name__ + "("), name


def test_build_returns_the_frozen_class() -> None:
    values = OmegaConf.to_container(OmegaConf.create(composed()))
    assert isinstance(values, dict)
    made = build(AdapterConfig, values["adapter"], "adapter")
    with pytest.raises(AttributeError, match="cannot assign to field"):
        made.rank = 3  # type: ignore[misc]


class TestSync:
    """The decision table of the `config` stage."""

    def test_a_fresh_clone_gets_params(self, project: Path) -> None:
        stage.sync()
        assert (project / "params.yaml").read_text() == composed()
        stage.check()

    def test_a_moved_conf_rewrites_blessed_params(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        stage.sync()
        older = composed("adapter.rank=16")
        (project / "params.yaml").write_text(older)
        stage._record(older, older)
        capsys.readouterr()
        stage.sync()
        assert (project / "params.yaml").read_text() == composed()
        assert "adapter.rank: conf 32, params.yaml was 16" in capsys.readouterr().out

    def test_a_hand_edit_is_refused_with_both_ways_out(self, project: Path) -> None:
        stage.sync()
        (project / "params.yaml").write_text(composed("adapter.rank=16"))
        with pytest.raises(ConfigError, match=r"(?s)edited by hand.*rank: params.yaml=16 conf=32.*reset.*-S KEY=VALUE"):
            stage.sync()
        with pytest.raises(ConfigError, match="not what conf/ composes"):
            stage.check()
        stage.reset()
        stage.check()

    def test_an_experiment_keeps_and_records_its_overrides(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (project / "params.yaml").write_text(composed("adapter.rank=16"))
        monkeypatch.setenv("DVC_EXP_NAME", "x")
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
        stage.sync()
        assert load(AdapterConfig).rank == 16
        assert '"run": "16"' in (project / "metrics/config.json").read_text()

    def test_leftover_overrides_are_refused_once_conf_disagrees(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.test_an_experiment_keeps_and_records_its_overrides(project, monkeypatch)
        monkeypatch.delenv("DVC_EXP_NAME")
        with pytest.raises(ConfigError, match="carries the overrides of an experiment"):
            stage.sync()

    def test_an_exported_experiment_name_alone_is_no_experiment(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.sync()
        (project / "params.yaml").write_text(composed("adapter.rank=16"))
        monkeypatch.setenv("DVC_EXP_NAME", "left over from another shell")
        with pytest.raises(ConfigError, match="edited by hand"):
            stage.sync()
