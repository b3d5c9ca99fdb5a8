"""docs/using-adapters.md, run as it stands: by our command and function, and by upstream libraries alone.

The weights are random and the adapters clearly not zero, at the paths that the document names. What upstream gives
is compared with this project's own forecast, in quantities without random numbers.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from tests.helpers.documents import blocks
from tests.helpers.random_models import T5_SIZES, series, spread_out
from workflow_scripts.adaptation.adapters import TrainedOn, load_adapter, merge, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.chronos import Quantiser
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import family_class, variant
from workflow_scripts.runtime.step import step_command

BLOCKS = blocks("using-adapters.md")
RUNS = Path("results/simulated/runs/sepsis3/heart_rate")
SIZES = {"chronos-bolt-small": T5_SIZES, "chronos-2": T5_SIZES}
"""Smaller than published; the nano models are as they are."""
ADAPTED = [
    ("chronos-t5-nano", "lora-r2"),
    ("chronos-t5-nano", "bitfit"),
    ("moirai-nano", "lora-r2"),
    ("chronos-bolt-small", "lora-r2"),
    ("chronos-2", "lora-r2"),
    ("chronos-t5-nano", "head-only"),
]
MERGED = ADAPTED[2:]
"""Beside the document's own: merged into merged/<model>."""
LOW, HIGH, CONTEXT, HORIZON = 0, 300, 24, 12

# What is kept of the variables that a part of the document ends with.
TOKENS = """
ids, mask, scale = pipeline.tokenizer.context_input_transform(context[None])
labels, _ = pipeline.tokenizer.label_input_transform(future[None], scale)
with torch.no_grad():
    output = pipeline.model.model(input_ids=ids, attention_mask=mask, labels=labels)
found["{0}"] = output.logits.log_softmax(-1), output.loss, quantiles
"""
DENSITY = """
with torch.no_grad():
    distribution = forecaster._get_distr(
        8, context.nan_to_num()[None, :, None], ~missing[None, :, None], torch.zeros_like(missing)[None]
    )
    density = distribution.log_prob(torch.full_like(distribution.mean, 0.27))
found["{0}"] = distribution.mean, density
"""
PROBES = {
    "The series, on the scale of the training": """
import sys
found, future = {}, torch.load("future.pt")
""",
    "Chronos-T5": TOKENS.format("chronos-t5-nano"),
    "MOIRAI": DENSITY.format("moirai-nano") + 'found["samples"] = heart_rate\n',
    "Chronos-Bolt": """
found["chronos-bolt-small"] = heart_rate
bare = BaseChronosPipeline.from_pretrained("weights/prepared/chronos-bolt-small", device_map="cpu")
try:
    PeftModel.from_pretrained(bare.model, runs / "chronos-bolt-small/lora-r2/seed0/adapter")
except NotImplementedError as error:
    found["without the line"] = str(error)
""",
    "Chronos-2": 'found["chronos-2"] = heart_rate\n',
    "Merged weights": TOKENS.format("merged")
    + """
pipeline = BaseChronosPipeline.from_pretrained("merged/chronos-t5-nano", device_map="cpu", dtype=torch.float32)
"""
    + TOKENS.format("merged head-only")
    + """
forecaster.module = MoiraiModule.from_pretrained("merged/moirai-nano")
"""
    + DENSITY.format("merged moirai-nano")
    + """
for name, shaped in (("chronos-bolt-small", context), ("chronos-2", context[None, None])):
    bare = BaseChronosPipeline.from_pretrained(f"merged/{name}", device_map="cpu", dtype=torch.float32)
    of_merged, _ = bare.predict_quantiles(shaped, prediction_length=12, quantile_levels=[0.1, 0.5, 0.9])
    found[f"merged {name}"] = low + (high - low) * torch.as_tensor(of_merged[0]).reshape(1, 12, 3)
""",
    "What the folder holds": TOKENS.format("bitfit")
    + """
found["unknown"] = unknown
torch.save(found, "found.pt")
ours = [name for name in sys.modules if name.partition(".")[0] == "workflow_scripts"]
assert not ours, ours
""",
}


@dataclass(frozen=True)
class Readers:
    """A reader's folder, with what the commands printed there and what the upstream libraries gave."""

    folder: Path
    found: dict
    function: np.ndarray

    def model(self, name: str, arm: str | None = "lora-r2") -> ForecastModel:
        """Our own model, with the adapter or without."""
        return load(self.folder, name, arm)

    @property
    def context(self) -> Tensor:
        """The last rows of the file on the scale of the training, [1, context]."""
        values = pd.read_csv(self.folder / "series.csv")["value"].to_numpy()[-CONTEXT:]
        return torch.tensor((values - LOW) / (HIGH - LOW), dtype=torch.float32)[None]

    @property
    def future(self) -> Tensor:
        return torch.load(self.folder / "future.pt")[None]


def load(folder: Path, name: str, arm: str | None) -> ForecastModel:
    """Base weights of a folder, of any size, with an adapter or without."""
    model = family_class(variant(name).family).load(folder / "weights/prepared" / name)
    if arm:
        load_adapter(model, folder / RUNS / name / arm / "seed0/adapter")
    return model


def make_merged(folder: Path, name: str, arm: str) -> None:
    model = load(folder, name, arm)
    merge(model, Arm.parse(arm))
    (folder / "merged" / name).mkdir(parents=True)
    model.save(folder / "merged" / name)


def make_adapter(folder: Path, name: str, arm_name: str) -> None:
    """Random base weights, an adapter with weights far from zero, and what the run's record says of its windows."""
    chosen, arm = variant(name), Arm.parse(arm_name)
    model = family_class(chosen.family).create(SIZES.get(name, chosen.sizes), seed=1)
    spread_out(model.module, seed=2)
    weights, run = folder / "weights/prepared" / name, folder / RUNS / name / arm_name / "seed0"
    weights.mkdir(parents=True, exist_ok=True)
    model.save(weights)
    adapt(model, arm, AdaptationParameters(), seed=0)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in (weight for weight in model.module.parameters() if weight.requires_grad):
            # T5's few position biases say less than factors of its projections.
            weight += (1 if arm_name == "bitfit" else 0.05) * torch.randn(weight.shape, generator=generator)
    trained_on = TrainedOn("heart_rate", "bpm", LOW, HIGH, 60, CONTEXT, HORIZON)
    save_adapter(model, arm, run / "adapter", name, trained_on)


def run_here(command: list[str]) -> None:
    """`python -m module ...` in this process, which has paid for the imports already."""
    assert command[:2] == ["python", "-m"]
    _, _, name = command[2].rpartition(".")
    step_command(getattr(import_module(command[2]), name)).main(command[3:], standalone_mode=False)


def run_upstream(folder: Path) -> None:
    """All parts that import nothing of ours, in a process of their own, each followed by its probe."""
    plain = [block for block in BLOCKS if block.language == "python" and block.heading != "A function"]
    assert [block.heading for block in plain] == list(PROBES)
    program = "\n".join(block.text + PROBES[block.heading] for block in plain)
    done = subprocess.run(
        [sys.executable, "-"], cwd=folder, input=program, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Readers:
    """The document, from its first block to its last."""
    folder = tmp_path_factory.mktemp("reader")
    for name, arm in ADAPTED:
        make_adapter(folder, name, arm)
    for name, arm in MERGED:
        make_merged(folder, name, arm)
    generator = np.random.default_rng(4)
    values = 80 + 5 * generator.normal(size=30)
    # The context's first value and one amid it are missing.
    values[[6, 15]] = np.nan
    times = pd.date_range("2130-05-17 03:00", periods=30, freq="h")
    pd.DataFrame({"time": times, "value": values}).to_csv(folder / "series.csv", index=False)
    torch.save(
        torch.tensor(80 + 5 * generator.normal(size=64), dtype=torch.float32) / HIGH, folder / "future.pt"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in (block for block in BLOCKS if block.language == "sh"):
            for command in block.commands:
                run_here(command)
        variables: dict = {}
        exec(next(block.text for block in BLOCKS if block.heading == "A function"), variables)
    run_upstream(folder)
    return Readers(folder, torch.load(folder / "found.pt"), variables["forecast"])


def test_the_function_gives_the_numbers_of_the_command(readers):
    """Source: the table that the command wrote, six digits."""
    table = pd.read_csv(readers.folder / "forecast.csv")
    assert readers.function.shape == (1, 9, HORIZON)
    np.testing.assert_allclose(table.filter(like="q0").to_numpy().T, readers.function[0], rtol=1e-5)
    assert (readers.folder / "forecast.svg").stat().st_size > 1000


def tokens(readers: Readers, arm: str | None) -> tuple[Tensor, Tensor]:
    """Our Chronos-T5's logarithms of the probabilities of every token of the future, and its loss."""
    model = readers.model("chronos-t5-nano", arm)
    ids, mask, scale = model.encode_context(series(readers.context))
    labels, _ = Quantiser.of(model.module.config.chronos_config).encode(readers.future, scale)
    with torch.no_grad():
        logits = model.module(input_ids=ids, attention_mask=mask, labels=labels).logits
        return logits.log_softmax(-1), model.loss(series(readers.context), readers.future)


@pytest.mark.parametrize(
    ("part", "arm"),
    [
        ("chronos-t5-nano", "lora-r2"),
        ("merged", "lora-r2"),
        ("merged head-only", "head-only"),
        ("bitfit", "bitfit"),
    ],
)
def test_chronos_t5_has_the_same_token_probabilities_and_loss_upstream(part, arm, readers):
    """Source: chronos' tokenizer and transformers' T5 under peft. Tolerance: 1e-5 of a logarithm."""
    logarithms, loss, quantiles = readers.found[part]
    ours = tokens(readers, arm)
    torch.testing.assert_close((logarithms, loss), ours, rtol=0, atol=1e-5)
    assert quantiles.shape == (1, HORIZON, 3)
    # The adapter is no small change: without it the probabilities are others.
    assert (tokens(readers, None)[0] - logarithms).abs().max() > 0.1


@pytest.mark.parametrize("part", ["moirai-nano", "merged moirai-nano"])
def test_moirai_has_the_same_distribution_upstream(part, readers):
    """Source: uni2ts' MoiraiForecast under peft. Tolerance: 1e-4 of a mean and of a density's logarithm."""

    def distribution(arm: str | None) -> tuple[Tensor, Tensor]:
        model = readers.model("moirai-nano", arm)
        with torch.no_grad():
            found = model.module(**model.inputs(series(readers.context), torch.zeros(1, HORIZON)))
            return found.mean, found.log_prob(torch.full_like(found.mean, 0.27))

    # Three patches of context, then two that hold the horizon.
    means, densities = readers.found[part]
    ours = tuple(value[:, 3:] for value in distribution("lora-r2"))
    torch.testing.assert_close((means[:, 3:], densities[:, 3:]), ours, rtol=1e-4, atol=1e-4)
    assert readers.found["samples"].shape == (3, 1, HORIZON)
    assert (distribution(None)[1][:, 3:] - ours[1]).abs().max() > 0.1


@pytest.mark.parametrize("merged", ["", "merged "], ids=["adapter", "merged"])
@pytest.mark.parametrize("name", ["chronos-bolt-small", "chronos-2"])
def test_quantile_models_give_the_same_quantiles_upstream(name, merged, readers):
    """Source: chronos' pipelines under peft, in beats per minute. Tolerance: 1e-3 of a beat."""

    def quantiles(arm: str | None) -> Tensor:
        uniforms = torch.full((1, 1, HORIZON), 0.5, dtype=torch.float64)
        scaled = readers.model(name, arm).quantiles(series(readers.context), uniforms, [0.1, 0.5, 0.9])
        return LOW + (HIGH - LOW) * scaled.mT

    torch.testing.assert_close(readers.found[merged + name], quantiles("lora-r2"), rtol=1e-5, atol=1e-3)
    assert (quantiles(None) - quantiles("lora-r2")).abs().max() > 1


def test_chronos_bolt_needs_the_line_that_names_its_embeddings(readers):
    assert "get_input_embeddings" in readers.found["without the line"]


def test_selected_tensors_are_all_known_upstream(readers):
    assert readers.found["unknown"] == []


def test_every_adapted_layer_of_lag_llama_is_one_of_the_official_checkpoint(tmp_path):
    """Source: the names and shapes in the official checkpoint, tests/models/lag_llama_fixtures."""
    from safetensors.torch import load_file

    fixture = Path(__file__).parents[1] / "models/lag_llama_fixtures/official_state_dict.json"
    official = json.loads(fixture.read_text())["keys"]
    with torch.random.fork_rng():
        model = family_class("lag-llama").create(variant("lag-llama").sizes, seed=0)
        arm = Arm.parse("lora-r2")
        adapt(model, arm, AdaptationParameters(targets="all-linear"), seed=0)
    save_adapter(model, arm, tmp_path, "lag-llama")
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    assert "base_model.model.transformer.h.0.attn.q_proj.lora_A.weight" in adapter
    for name, factor in adapter.items():
        rows, columns = official[
            "model." + name.removeprefix("base_model.model.").replace(".lora_A", "").replace(".lora_B", "")
        ]
        assert factor.shape == ((2, columns) if ".lora_A." in name else (rows, 2))
