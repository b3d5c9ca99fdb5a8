"""The table of variants: complete, consistent with the families' modules, and light to import."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.registry import (
    FAMILY_CLASSES,
    MODELS,
    MULTIVARIATE_VARIANTS,
    SCRATCH_VARIANTS,
    STAND_INS,
    VARIANTS,
    check_covariates,
    check_geometry,
    family_class,
    is_stand_in,
    require_accepted_licence,
    variant,
    variant_names,
)
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.terminal import as_text
from workflow_scripts.steps.list_models import arm_counts, describe, limit, overview

EMBEDDED = {"chronos-t5-nano", "moirai-nano", "lag-llama-nano"}
PUBLISHED = {
    *(f"chronos-t5-{size}" for size in ("tiny", "mini", "small", "base", "large")),
    *(f"chronos-bolt-{size}" for size in ("tiny", "mini", "small", "base")),
    "chronos-2",
    "fracast",
    "chronos-2-synth",
    "timesfm-2.5-200m",
    "timesfm-3.0",
    "t0-alpha",
    "t0-beta",
    "patchtst-fm-r1",
    "chronos-2-small",
    *(f"moirai-{v}-R-{size}" for v in ("1.0", "1.1") for size in ("small", "base", "large")),
    "moirai-2.0-R-small",
    "lag-llama",
}


def test_every_published_size_and_three_embedded_ones_are_listed() -> None:
    assert set(variant_names()) == PUBLISHED | EMBEDDED
    assert {name for name, entry in VARIANTS.items() if entry.hub_id} == PUBLISHED
    assert all(entry.name == name and entry.family in FAMILY_CLASSES for name, entry in VARIANTS.items())


def test_only_weights_that_this_project_made_stand_in_for_published_ones() -> None:
    """Also under the name of the variant that looks at other vital signs, which has the same weights."""
    stand_ins = {name for name, entry in MODELS.items() if entry.stand_in}
    assert stand_ins == EMBEDDED | {"moirai-nano-multivariate"}
    assert set(STAND_INS) == EMBEDDED
    assert {name for name in (*MODELS, *BASELINES, "no such name") if is_stand_in(name)} == stand_ins


def test_every_fact_says_where_it_was_read() -> None:
    for entry in (VARIANTS | SCRATCH_VARIANTS).values():
        facts = ("licence", "sizes", "lora_targets", "parameters", "revision", "checkpoint", "training")
        limits = ("context_limit", "horizon_limit", "token_limit")
        stated = [name for name in (*facts, *limits) if getattr(entry, name)]
        assert [name for name in stated if not entry.sources.get(name)] == [], entry.name


def test_revisions_are_whole_commits() -> None:
    pinned = [entry.revision for entry in VARIANTS.values() if entry.revision]
    assert len(set(pinned)) == len(pinned)
    assert all(len(commit) == 40 and int(commit, 16) for commit in pinned)


@pytest.mark.parametrize("family", FAMILY_CLASSES)
def test_the_lora_targets_are_those_of_the_family_s_class(family: str) -> None:
    targets = {entry.lora_targets for entry in MODELS.values() if entry.family == family}
    assert targets == {family_class(family).attention_targets}


def test_only_moirai_s_and_timesfm_3_s_published_weights_restrict_their_use() -> None:
    restricted = {name for name, entry in VARIANTS.items() if entry.restriction}
    assert restricted == {name for name in PUBLISHED if name.startswith("moirai")} | {"timesfm-3.0"}
    assert variant("moirai-1.0-R-small").restriction == "non-commercial use only"


@pytest.mark.parametrize("accepted", [None, "Apache-2.0"])
def test_restricted_weights_are_handed_on_only_where_their_licence_is_named(accepted: str | None) -> None:
    require_accepted_licence(variant("chronos-t5-tiny"), None)
    require_accepted_licence(variant("moirai-1.0-R-small"), "CC-BY-NC-4.0")
    with pytest.raises(UserError, match="non-commercial use only") as refused:
        require_accepted_licence(variant("moirai-1.0-R-small"), accepted)
    assert "--accept-licence CC-BY-NC-4.0" in refused.value.remedy


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"chronos-t5-tiny.*lag-llama"):
        variant("chronos-t5-huge")


@pytest.mark.parametrize(
    "module", ["models.registry", "models.weights", "models.sources", "steps.list_models"]
)
def test_the_table_is_read_without_torch(module: str) -> None:
    program = (
        f"import sys, workflow_scripts.{module};"
        "assert not {'torch', 'numpy', 'scipy', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# The lengths that upstream's own configurations give: the longest that fits, and one step more.
LONGEST = {
    "chronos-t5-small": (512, 64),
    "chronos-bolt-base": (2048, 64),
    "chronos-2": (8192, 1024),
    # 512 patches of 16, of which four are the horizon.
    "moirai-2.0-R-small": ((512 - 4) * 16, 64),
    # 512 patches of 8, of which two are the horizon.
    "moirai-nano": ((512 - 2) * 8, 12),
    "lag-llama": (2048, 100_000),
}


def test_families_that_take_covariates_have_variants_with_the_same_weights_that_look_at_other_vital_signs() -> (
    None
):
    families = ("chronos-2", "moirai", "timesfm-3", "t0")
    alike = {name for name, entry in VARIANTS.items() if entry.family in families}
    assert {entry.weights_of for entry in MULTIVARIATE_VARIANTS.values()} == alike
    assert MULTIVARIATE_VARIANTS.keys() == {f"{name}-multivariate" for name in alike}
    for name, entry in MULTIVARIATE_VARIANTS.items():
        base = variant(entry.weights_of)
        label = f"{base.label}, with other vital signs"
        assert entry == replace(base, name=name, label=label, multivariate=True)
        assert variant(name) is entry
        assert base.weights_of == base.name
        assert not base.multivariate
        assert base.sources["takes_covariates"]
    assert MODELS.keys() >= VARIANTS.keys() | MULTIVARIATE_VARIANTS.keys()


def test_a_model_that_looks_at_other_vital_signs_must_be_given_some() -> None:
    with pytest.raises(
        UserError,
        match=r"windows\.covariates, with model moirai-nano-multivariate[\s\S]*or choose moirai-nano",
    ):
        check_covariates(variant("moirai-nano-multivariate"), [])
    check_covariates(variant("moirai-nano-multivariate"), ["heart_rate"])
    check_covariates(variant("moirai-nano"), [])
    check_covariates(variant("moirai-nano"), ["heart_rate"])


def test_covariates_take_patches_of_their_own() -> None:
    """512 patches of 8: two for the horizon, and of the other 510 a third for each of three series."""
    check_geometry(variant("moirai-nano-multivariate"), 170 * 8, 12, covariates=2)
    with pytest.raises(UserError, match=r"1361 \+ 12 steps of 3 series, which are 515 patches"):
        check_geometry(variant("moirai-nano-multivariate"), 170 * 8 + 1, 12, covariates=2)
    # A model that looks at its own series alone ignores them; Chronos-2 has no limit of patches.
    check_geometry(variant("moirai-nano"), 510 * 8, 12, covariates=2)
    check_geometry(variant("chronos-2-multivariate"), 8192, 1024, covariates=9)


@pytest.mark.parametrize("name", LONGEST)
def test_the_longest_context_and_horizon_are_accepted(name: str) -> None:
    check_geometry(variant(name), *LONGEST[name])


@pytest.mark.parametrize("name", LONGEST)
def test_a_longer_context_is_refused_with_the_limit_and_its_source(name: str) -> None:
    context, horizon = LONGEST[name]
    with pytest.raises(UserError, match=rf"windows\.context[\s\S]*{context + 1} [\s\S]*at most \d+ .*\(.+\)"):
        check_geometry(variant(name), context + 1, horizon)


@pytest.mark.parametrize("name", ["chronos-t5-small", "chronos-bolt-base", "chronos-2", "moirai-2.0-R-small"])
def test_a_longer_horizon_is_refused(name: str) -> None:
    horizon = LONGEST[name][1]
    with pytest.raises(
        UserError, match=rf"windows\.horizon[\s\S]*{horizon + 1} steps[\s\S]*at most {horizon}"
    ):
        check_geometry(variant(name), 24, horizon + 1)


def test_the_list_shows_every_model_with_its_licence_and_what_each_rank_trains() -> None:
    lines = as_text(*overview((2,))).splitlines()
    facts, counts = (
        [line for line in lines if line.startswith("moirai-1.0-R-small")][part] for part in (0, 1)
    )
    assert facts.split()[-4:] == ["CC-BY-NC-4.0", "Salesforce/moirai-1.0-R-small", "f5bd5d0", "?"]
    # The study's table of trainable parameters: 36,864 at rank 2.
    assert counts.split()[1:] == ["0", "13,827,528", "36,864"]
    assert all(sum(line.startswith(f"{name} ") for line in lines) == 2 for name in VARIANTS)
    assert "non-commercial use only" in "\n".join(lines)


def test_any_arm_s_trainable_parameters_are_listed_or_it_is_refused() -> None:
    arms = [Arm.parse(name) for name in ("fourierft", "bitfit", "lora-r300")]
    (_, counted) = as_text(arm_counts(arms, [variant("chronos-t5-tiny")])).splitlines()
    # arXiv 2409.11302; and its matrices are 256 x 256.
    assert counted.split() == ["chronos-t5-tiny", "2,400", "256", "refused"]


def test_one_model_is_described_with_the_source_of_each_fact() -> None:
    text = describe(variant("moirai-2.0-R-small"))
    entry = variant("moirai-2.0-R-small")
    assert all(source in text for source in entry.sources.values())
    assert "the licence restricts: non-commercial use only" in text
    assert "pinned in weights.lock.yaml: not yet" in text


def test_models_trained_from_scratch_are_kept_apart_from_those_with_weights() -> None:
    assert set(SCRATCH_VARIANTS) == {"n-beats", "n-hits-bp", "n-hits-hr", "tft"}
    assert not set(SCRATCH_VARIANTS) & set(VARIANTS)
    for name, entry in SCRATCH_VARIANTS.items():
        assert variant(name) is entry
        assert entry.from_scratch
        assert entry.point_forecast
        assert (entry.hub_id, entry.revision, entry.lora_targets) == (None, None, "")
    assert not any(entry.from_scratch or entry.training for entry in VARIANTS.values())


def test_the_list_shows_what_is_trained_from_scratch_with_its_training() -> None:
    lines = as_text(*overview((2,))).splitlines()
    (row,) = [line for line in lines if line.startswith("n-hits-bp ")]
    assert row.split() == ["n-hits-bp", "n-hits", "680,680", "72", "36", "0.00032177", "1024", "1000", "20"]


def test_what_a_model_trained_from_scratch_has_no_weights_for_is_refused_in_the_list() -> None:
    arms = [Arm.parse(name) for name in ("trained", "trained-dilate", "full", "lora-r2")]
    (_, counted) = as_text(arm_counts(arms, [variant("tft")])).splitlines()
    assert counted.split() == ["tft", "15,411", "15,411", "refused", "refused"]


def test_the_documented_table_is_the_registry_s() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    documented = {row[0]: row[1:] for row in rows if row and row[0] in VARIANTS}
    assert documented == {
        entry.name: [
            entry.family,
            f"{entry.parameters:,}",
            f"{entry.lora_parameters_per_rank:,}",
            limit(entry, "context"),
            limit(entry, "horizon"),
            entry.licence,
            entry.hub_id or "embedded",
            (entry.revision or "")[:7],
        ]
        for entry in VARIANTS.values()
    }


def test_the_documented_models_trained_from_scratch_are_the_registry_s() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    documented = {row[0]: row[2:] for row in rows if row and row[0] in SCRATCH_VARIANTS}
    assert documented == {
        entry.name: [f"{entry.parameters:,}", f"{entry.training['learning_rate']:g}"]
        for entry in SCRATCH_VARIANTS.values()
    }
