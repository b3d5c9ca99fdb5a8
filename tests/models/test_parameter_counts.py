"""Counts of parameters at real size, on the meta device, where no weight takes any memory.

Expected values: the study's table (trainable parameters of LoRA on q, k, v, o of every attention, computed from the
published configurations), and counts that are published elsewhere.
"""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from workflow_scripts.models.registry import VARIANTS, family_class, variant
from workflow_scripts.steps.list_models import RANKS

STUDY_RANKS = (1, 2, 4, 8, 16, 32)
STUDY = {
    "lag-llama": (8_064, 16_128, 32_256, 64_512, 129_024, 258_048),
    "moirai-1.0-R-small": (18_432, 36_864, 73_728, 147_456, 294_912, 589_824),
    "moirai-1.0-R-base": (73_728, 147_456, 294_912, 589_824, 1_179_648, 2_359_296),
    "moirai-1.0-R-large": (196_608, 393_216, 786_432, 1_572_864, 3_145_728, 6_291_456),
    "chronos-t5-tiny": (24_576, 49_152, 98_304, 196_608, 393_216, 786_432),
    "chronos-t5-mini": (43_008, 86_016, 172_032, 344_064, 688_128, 1_376_256),
    "chronos-t5-small": (73_728, 147_456, 294_912, 589_824, 1_179_648, 2_359_296),
    "chronos-t5-base": (221_184, 442_368, 884_736, 1_769_472, 3_538_944, 7_077_888),
}
"""Trainable parameters by rank."""

TOTALS = {
    # The study's table; for chronos-t5-mini also the hub's page.
    "chronos-t5-tiny": 8_394_496,
    "chronos-t5-mini": 20_456_192,
    "chronos-t5-small": 46_154_240,
    # Hub pages and their public copies, counted there from the safetensors header.
    "chronos-bolt-mini": 21_236_096,
    "chronos-2": 119_477_664,
    "chronos-2-small": 27_934_624,
    "moirai-2.0-R-small": 11_387_208,
    "moirai-1.0-R-small": 13_827_528,
    # Shapes of the released checkpoint, as upstream's issues print them.
    "lag-llama": 2_449_299,
}
ROUNDED = {
    # arXiv 2402.02592 and 2403.07815; the hub's pages for Chronos-Bolt.
    "moirai-1.0-R-base": "91M",
    "moirai-1.0-R-large": "311M",
    "chronos-t5-base": "201M",
    "chronos-t5-large": "709M",
    "chronos-bolt-tiny": "9M",
    "chronos-bolt-small": "48M",
    "chronos-bolt-base": "205M",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_registry_s_counts_are_those_of_the_real_module(name: str) -> None:
    entry = variant(name)
    family = family_class(entry.family)
    with torch.device("meta"):
        module = family.create(entry.sizes, 0).module
        assert sum(weight.numel() for weight in module.parameters()) == entry.parameters
        config = LoraConfig(r=1, target_modules=family.attention_targets)
        adapted = get_peft_model(module, config)
    assert adapted.get_nb_trainable_parameters()[0] == entry.lora_parameters_per_rank


@pytest.mark.parametrize("name", ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def test_every_rank_trains_that_many_times_what_rank_one_trains(name: str) -> None:
    entry = variant(name)
    family = family_class(entry.family)
    for rank in RANKS:
        with torch.device("meta"):
            config = LoraConfig(r=rank, target_modules=family.attention_targets)
            adapted = get_peft_model(family.create(entry.sizes, 0).module, config)
        assert adapted.get_nb_trainable_parameters()[0] == rank * (entry.lora_parameters_per_rank or 0)


@pytest.mark.parametrize("name", STUDY)
def test_the_counts_are_those_of_the_study_s_table(name: str) -> None:
    per_rank = variant(name).lora_parameters_per_rank
    assert per_rank is not None
    assert tuple(per_rank * rank for rank in STUDY_RANKS) == STUDY[name]


def test_the_totals_are_the_published_ones() -> None:
    assert {name: variant(name).parameters for name in TOTALS} == TOTALS
    rounded = {name: f"{(variant(name).parameters or 0) / 1e6:.0f}M" for name in ROUNDED}
    assert rounded == ROUNDED


@pytest.mark.parametrize("name", ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def test_embedded_models_are_far_below_a_million_parameters(name: str) -> None:
    assert (variant(name).parameters or 0) < 600_000
