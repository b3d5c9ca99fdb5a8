"""Every method on every family: what trains, what stays, and how much of it there is."""

import pytest
import torch

from tests.helpers.linear_model import LinearModel
from tests.helpers.tiny_families import CONTEXT, FAMILIES, TARGET, UNIFORMS, tiny
from tests.helpers.trained_arms import PEFT_ARMS, SELECTING_ARMS, loss, trained
from workflow_scripts.adaptation.adapters import load_adapter, save_adapter
from workflow_scripts.adaptation.adapting import adapt, count_parameters, plan
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.methods import METHODS
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.registry import family_class, variant
from workflow_scripts.runtime.errors import UserError

DEFAULTS = AdaptationParameters()
ALL_LINEAR = AdaptationParameters(targets="all-linear")
every_pair = pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in (*PEFT_ARMS, *SELECTING_ARMS)]
)


def counted(model_name: str, arm: str, parameters: AdaptationParameters = DEFAULTS) -> int:
    """What an arm of a real-size model trains; no weight is ever made."""
    entry = variant(model_name)
    with torch.device("meta"):
        model = family_class(entry.family).create(entry.sizes, seed=0)
    return plan(model, Arm.parse(arm), parameters).trainable


@every_pair
def test_weights_that_do_not_train_stay_bit_for_bit(family, name):
    run = trained(family, name)
    end = run.model.module.state_dict()
    changed = {key for key, value in run.start.items() if not torch.equal(end[key], value)}
    assert changed, "nothing was trained"
    assert changed <= run.trainable


@every_pair
def test_adapting_changes_no_base_weight(family, name):
    base, run = tiny(family).module.state_dict(), trained(family, name)
    start = {
        key.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for key, value in run.start.items()
    }
    if name.startswith("pissa"):
        # By its design: base and adapter together are the original (arXiv 2404.02948).
        moved = {key for key in base if not torch.equal(start[key], base[key])}
        assert len(moved) == len(plan(tiny(family), run.arm, DEFAULTS).modules)
    else:
        assert all(torch.equal(start[key], value) for key, value in base.items())


@every_pair
def test_an_untrained_adapter_forecasts_as_the_base_model(family, name):
    assert trained(family, name).loss_before == pytest.approx(loss(tiny(family)), rel=1e-5)


@every_pair
def test_training_an_adapter_changes_the_loss(family, name):
    run = trained(family, name)
    assert run.loss_after != pytest.approx(run.loss_before, rel=1e-5)


def test_zero_shot_trains_nothing_and_full_trains_everything():
    for name, trainable in (("zero-shot", 0), ("full", 4)):
        model = LinearModel()
        adapt(model, Arm.parse(name), DEFAULTS, seed=0)
        assert count_parameters(model) == {"total": 4, "trainable": trainable}


# Counts. Closed forms are those of the methods' papers; widths are written out from the tiny models' sizes.
# Chronos: 3 attentions x (q, k, v, o: 16 x 16), 5 norms + 2 final ones... of 16, feed-forward 32.
# MOIRAI: q, k, v, o 64 x 64; feed-forward 3 x (64, 176). Lag-Llama: q 16, kv 32, c 16; feed-forward 256.
TINY_COUNTS = {
    ("chronos", "lora-r2"): 12 * 2 * (16 + 16),
    ("chronos", "rslora-r2"): 12 * 2 * (16 + 16),
    ("chronos", "pissa-r2"): 12 * 2 * (16 + 16),
    ("chronos", "dora-r2"): 12 * (2 * (16 + 16) + 16),
    ("chronos", "adalora-r2"): 12 * 3 * (16 + 16 + 1),
    ("chronos", "vera-r4"): 12 * (4 + 16),
    ("chronos", "fourierft"): 12 * 50,
    ("chronos", "ia3"): 6 * 16 + 2 * 32,
    ("chronos", "layernorm"): (2 + 3 + 2) * 16,
    ("chronos", "bitfit"): 2 * 32 * 2,
    ("chronos", "head-only"): 64 * 16,
    ("moirai", "lora-r2"): 4 * 2 * (64 + 64),
    ("moirai", "dora-r2"): 4 * (2 * (64 + 64) + 64),
    ("moirai", "vera-r4"): 4 * (4 + 64),
    ("moirai", "ia3"): 2 * 64 + 176,
    ("moirai", "layernorm"): 3 * 64 + 2 * 64,
    ("lag-llama", "lora-r2"): 2 * ((16 + 16) + (16 + 32) + (16 + 16)),
    ("lag-llama", "dora-r2"): 2 * ((16 + 16) + (16 + 32) + (16 + 16)) + 16 + 32 + 16,
    ("lag-llama", "adalora-r2"): 3 * ((16 + 16 + 1) + (16 + 32 + 1) + (16 + 16 + 1)),
    ("lag-llama", "vera-r4"): 3 * 4 + 16 + 32 + 16,
    ("lag-llama", "fourierft"): 3 * 50,
    ("lag-llama", "ia3"): 32 + 256,
    ("lag-llama", "layernorm"): 3 * 16,
    ("lag-llama", "bitfit"): 16 + 3,
    ("lag-llama", "head-only"): 3 * (16 + 1),
}


@pytest.mark.parametrize(("family", "name"), TINY_COUNTS)
def test_as_many_parameters_train_as_the_method_s_paper_says(family, name):
    weights = trained(family, name).model.module.parameters()
    assert sum(weight.numel() for weight in weights if weight.requires_grad) == TINY_COUNTS[family, name]


@every_pair
def test_the_closed_form_is_what_peft_makes_of_it(family, name):
    planned = plan(tiny(family), Arm.parse(name), DEFAULTS)
    assert planned.trainable == count_parameters(trained(family, name).model)["trainable"]


@pytest.mark.parametrize(
    ("model", "arm", "published"),
    [
        # arXiv 2409.11302: FourierFT with 50 coefficients, and the relative attention biases of T5.
        ("chronos-t5-tiny", "fourierft", 2_400),
        ("chronos-t5-tiny", "bitfit", 256),
        ("chronos-t5-small", "bitfit", 512),
        ("chronos-t5-base", "bitfit", 768),
        # Rank x (in + out) over the published configurations; 49K and 442K are also told of arXiv 2409.11302.
        ("chronos-t5-tiny", "lora-r2", 49_152),
        ("chronos-t5-base", "lora-r2", 442_368),
        ("moirai-1.0-R-small", "lora-r8", 147_456),
        ("lag-llama", "lora-r2", 16_128),
    ],
)
def test_counts_of_published_models_are_the_published_ones(model, arm, published):
    assert counted(model, arm) == published


def test_all_linear_adds_the_feed_forward_layers():
    # Lag-Llama: width 144, hidden 512, 8 blocks: q, kv, c and the three of the feed-forward layer.
    assert counted("lag-llama", "lora-r1", ALL_LINEAR) == 8 * ((288 + 432 + 288) + 3 * (144 + 512))
    # T5 tiny: 4 encoder and 4 decoder blocks, each with wi and wo between 256 and 1024.
    assert counted("chronos-t5-tiny", "lora-r1", ALL_LINEAR) == 24_576 + 8 * 2 * (256 + 1024)
    model = tiny("moirai")
    adapt(model, Arm.parse("dora-r2"), ALL_LINEAR, seed=0)
    assert count_parameters(model)["trainable"] == 4 * (2 * 128 + 64) + 3 * 2 * (64 + 176) + 2 * 176 + 64


def test_rslora_scales_by_the_root_of_the_rank():
    for name, scale in (("lora-r4", 16 / 4), ("rslora-r4", 16 / 4**0.5)):
        model = tiny("lag-llama")
        adapt(model, Arm.parse(name), DEFAULTS, seed=0)
        adapted = model.module.get_base_model().transformer["h"][0].attn.q_proj
        assert adapted.scaling["default"] == scale


def test_the_first_factor_starts_as_it_was_asked_to():
    # peft: normal with deviation 1 / rank, or uniform within 1 / sqrt(fan in) of 16.
    factors = {}
    for kind in ("gaussian", "kaiming"):
        model = tiny("lag-llama")
        adapt(model, Arm.parse("lora-r2"), AdaptationParameters(lora_initialisation=kind), seed=0)
        factors[kind] = model.module.get_base_model().transformer["h"][0].attn.q_proj.lora_A["default"].weight
    assert factors["kaiming"].abs().max() <= 1 / 16**0.5
    assert factors["gaussian"].abs().max() > 1 / 16**0.5


def test_a_seed_decides_the_adapter_and_touches_no_other_random_number():
    def first_weights(seed: int) -> torch.Tensor:
        model = tiny("lag-llama")
        adapt(model, Arm.parse("lora-r2"), DEFAULTS, seed)
        return torch.cat([w.flatten() for w in model.module.parameters() if w.requires_grad])

    before = torch.get_rng_state()
    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gaussian_fourierft_is_the_one_that_does_not_start_as_the_base_model():
    model = tiny("moirai")
    adapt(model, Arm.parse("fourierft"), AdaptationParameters(fourierft_initialisation="gaussian"), seed=0)
    assert loss(model) != pytest.approx(loss(tiny("moirai")), rel=1e-5)


def test_head_only_leaves_the_embedding_alone_that_t5_shares_with_its_head():
    base, module = tiny("chronos").module, trained("chronos", "head-only").model.module
    assert base.lm_head.weight is base.shared.weight
    assert torch.equal(module.shared.weight, base.shared.weight)
    assert not torch.equal(module.lm_head.weight, base.shared.weight)


# What cannot be had is refused before anything is trained.


def refusal(
    family: str, name: str, parameters: AdaptationParameters = DEFAULTS, steps: int | None = 10
) -> str:
    model = tiny(family)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    with pytest.raises(UserError) as refused:
        adapt(model, Arm.parse(name), parameters, seed=0, steps=steps)
    after = model.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert name in refused.value.where
    if refused.value.where.endswith(type(model).__name__):
        ranks = "ranks, " if Arm.parse(name).rank else ""
        assert refused.value.remedy.startswith(f"change {ranks}arms or adaptation in params.yaml")
    return refused.value.found


@pytest.mark.parametrize("method", ["lora", "rslora", "dora", "pissa"])
def test_a_rank_larger_than_the_layer_is_refused_with_the_layer(method):
    assert "16 x 16" in refusal("chronos", f"{method}-r17")
    adapt(tiny("chronos"), Arm.parse(f"{method}-r16"), DEFAULTS, seed=0)


def test_adalora_s_initial_rank_counts():
    assert "a rank of 17 is larger" in refusal("chronos", "adalora-r11")


def test_adalora_without_steps_to_cut_ranks_in_is_refused():
    assert "no training steps" in refusal("lag-llama", "adalora-r2", steps=None)
    assert "1 training step" in refusal("lag-llama", "adalora-r2", steps=1)


def test_vera_s_random_basis_may_be_wider_than_the_layer():
    # arXiv 2310.11454 has rank 1024 on RoBERTa-base, whose matrices are 768 wide.
    model = tiny("chronos")
    adapt(model, Arm.parse("vera-r40"), DEFAULTS, seed=0)
    assert count_parameters(model)["trainable"] == 12 * (40 + 16)


def test_more_fourier_coefficients_than_entries_are_refused():
    found = refusal("lag-llama", "fourierft", AdaptationParameters(fourierft_coefficients=257))
    assert found.startswith("257 coefficients are more than entries")


def test_dora_refuses_a_row_of_zeros():
    model = tiny("moirai")
    with torch.no_grad():
        model.module.encoder.layers[0].self_attn.k_proj.weight[5] = 0
    with pytest.raises(UserError, match="k_proj has a row of zeros"):
        adapt(model, Arm.parse("dora-r2"), DEFAULTS, seed=0)


@pytest.mark.parametrize("name", ["layernorm", "ia3"])
def test_a_family_without_what_the_method_trains_is_refused(name):
    with pytest.raises(UserError, match="of the kind that the method"):
        adapt(LinearModel(), Arm.parse(name), DEFAULTS, seed=0)


def test_targets_that_are_no_linear_maps_are_refused():
    model = tiny("chronos")
    model.attention_targets = "shared"
    with pytest.raises(UserError, match="shared is a Embedding"):
        adapt(model, Arm.parse("lora-r2"), DEFAULTS, seed=0)


def test_the_series_of_these_tests_give_finite_forecasts():
    for family in FAMILIES:
        assert tiny(family).sample(CONTEXT, UNIFORMS).isfinite().all()
        assert TARGET.isfinite().all()


class MiscountedLora(type(METHODS["lora"])):
    """LoRA that plans one number more than it trains."""

    def count(self, layer, rank, parameters) -> int:
        return super().count(layer, rank, parameters) + 1


def test_an_arm_that_trains_something_else_than_was_planned_is_not_trained(monkeypatch):
    monkeypatch.setitem(METHODS, "lora", MiscountedLora())
    with pytest.raises(
        RuntimeError, match="256 parameters train around 1 modules, planned were 257 around 1"
    ):
        adapt(wide_model(), Arm.parse("lora-r8"), DEFAULTS, seed=0)


def wide_model() -> LinearModel:
    """A linear model whose adapted layer is 16 x 16."""
    model = LinearModel()
    model.module["attention"] = torch.nn.Linear(16, 16)
    return model


def config_of(arm: str, steps: int = 20, **settings):
    """peft's configuration of an arm."""
    model = wide_model()
    adapt(model, Arm.parse(arm), AdaptationParameters(**settings), seed=5, steps=steps)
    return model.module.peft_config["default"]


@pytest.mark.parametrize(
    ("arm", "options"),
    [
        ("lora-r4", {"use_dora": False, "use_rslora": False, "init_lora_weights": "gaussian"}),
        ("rslora-r4", {"use_dora": False, "use_rslora": True, "init_lora_weights": "gaussian"}),
        ("dora-r4", {"use_dora": True, "use_rslora": False, "init_lora_weights": "gaussian"}),
        ("pissa-r4", {"use_dora": False, "use_rslora": False, "init_lora_weights": "pissa"}),
    ],
)
def test_the_variants_of_lora_differ_in_one_option(arm, options):
    config = config_of(arm, lora_alpha=8, lora_dropout=0.25)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (4, 8, 0.25)
    assert {name: getattr(config, name) for name in options} == options


def test_a_uniform_first_factor_is_pefts_own():
    assert config_of("lora-r4", lora_initialisation="kaiming").init_lora_weights is True


def test_settings_of_other_methods_reach_peft():
    vera = config_of("vera-r4", vera_scale=0.5, lora_dropout=0.25)
    assert (vera.r, vera.d_initial, vera.vera_dropout, vera.projection_prng_key) == (4, 0.5, 0.25, 5)
    assert vera.save_projection
    fourier = config_of("fourierft", fourierft_coefficients=7, fourierft_scaling=3.0)
    assert (fourier.n_frequency, fourier.scaling, fourier.random_loc_seed, fourier.init_weights) == (
        7,
        3.0,
        5,
        True,
    )
    assert config_of("fourierft", fourierft_initialisation="gaussian").init_weights is False
    adalora = config_of("adalora-r4", lora_alpha=8, lora_dropout=0.25, adalora_orthogonality=0.75)
    assert (adalora.lora_alpha, adalora.lora_dropout, adalora.orth_reg_weight) == (8, 0.25, 0.75)


@pytest.mark.parametrize(
    ("rank", "start", "first"), [(1, 1.5, 2), (2, 1.5, 3), (3, 1.5, 5), (4, 1.5, 6), (4, 1.1, 5), (4, 2.0, 8)]
)
def test_adalora_starts_above_the_rank_that_is_left(rank, start, first):
    config = config_of(f"adalora-r{rank}", adalora_start=start)
    assert (config.init_r, config.target_r) == (first, rank)


@pytest.mark.parametrize(
    ("steps", "final", "warmup", "last"),
    [(20, 0.5, 2, 10), (10, 0.5, 1, 5), (2, 0.5, 0, 0), (3, 0.5, 0, 1), (10, 0.9, 1, 8), (100, 0.25, 10, 25)],
)
def test_adalora_cuts_between_its_warm_up_and_its_final_share(steps, final, warmup, last):
    """A tenth of the steps warms up; at least one step is left between, in which ranks are cut."""
    config = config_of("adalora-r2", steps, adalora_final=final)
    assert (config.tinit, config.tfinal, config.total_step) == (warmup, last, steps)


def test_an_arm_that_learns_nothing_is_neither_saved_nor_loaded(tmp_path):
    for arm in (Arm("zero-shot"), Arm("baseline")):
        with pytest.raises(TypeError, match=f"{arm.name} learns nothing"):
            save_adapter(LinearModel(), arm, tmp_path, "tiny")
    (tmp_path / "arm.json").write_text('{"arm": "zero-shot", "base": "tiny"}')
    with pytest.raises(UserError, match="zero-shot learns nothing"):
        load_adapter(LinearModel(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["arm.json"]
