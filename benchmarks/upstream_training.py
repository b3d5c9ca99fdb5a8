"""The upstream trainer of each family, on given windows, with a clock that ticks after every step.

- Chronos: transformers' Trainer over an iterable data set that cuts, tokenises and masks one window at a time with
  gluonts and the chronos package (scripts/training/train.py of amazon-science/chronos-forecasting).
- MOIRAI: uni2ts' own MoiraiFinetune under Lightning, with its data set, its transformation of each window and its
  loader (cli/train.py of SalesforceAIResearch/uni2ts).
- Lag-Llama: its re-enacted network and loss (upstream_lag_llama.py) under Lightning, with gluonts' transformation of
  each window (lag_llama/gluon of time-series-foundation-models/lag-llama, commit 013ff0c).

In favour of upstream: no progress bar, no logger, no checkpoints, no augmentation, no worker process (its CPU time
would count too), and windows of the context's length instead of padded ones, but for Lag-Llama, whose network needs
its longest lag. Their optimisers and schedules are their own.
"""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from benchmarks.upstream_lag_llama import UpstreamNetwork
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.training.data import WindowArrays

Train = Callable[[ForecastModel, WindowArrays, int, int, Callable[[], None]], None]
"""model, windows, batch size, steps, what to call after each step. Trains the model's module in place."""

LEARNING_RATE = 1e-3


def train_chronos(
    model: ForecastModel, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]
) -> None:
    """As upstream's training script."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Ticking(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            tick()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            max_steps=steps,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
        )
        data = _tokenised(model, windows)
        Trainer(model=model.module, args=arguments, train_dataset=data, callbacks=[Ticking()]).train()


def _tokenised(model: ForecastModel, windows: WindowArrays) -> IterableDataset:
    """One window after another for ever: cut by gluonts, tokenised by the chronos package."""
    from chronos import ChronosConfig
    from gluonts.itertools import Cyclic
    from gluonts.transform import ExpectedNumInstanceSampler, FilterTransformation, InstanceSplitter

    context, horizon = windows.context.shape[1], windows.target.shape[1]
    lengths = {"context_length": context, "prediction_length": horizon}
    tokenizer = ChronosConfig(**{**model.module.config.chronos_config, **lengths}).create_tokenizer()
    split = InstanceSplitter(
        target_field="target",
        is_pad_field="is_pad",
        start_field="start",
        forecast_start_field="forecast_start",
        instance_sampler=ExpectedNumInstanceSampler(
            num_instances=1.0, min_instances=1, min_past=context, min_future=horizon
        ),
        past_length=context,
        future_length=horizon,
        dummy_value=np.nan,
    ) + FilterTransformation(condition=lambda entry: (~np.isnan(entry["past_target"])).sum() > 0)

    class Tokenised(IterableDataset):
        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            for entry in split.apply(Cyclic(_entries(windows)), is_train=True):
                past = torch.tensor(entry["past_target"])[None]
                ids, mask, scale = tokenizer.context_input_transform(past)
                future = torch.tensor(entry["future_target"])[None]
                labels, observed = tokenizer.label_input_transform(future, scale)
                labels[observed == 0] = -100
                yield {"input_ids": ids[0], "attention_mask": mask[0], "labels": labels[0]}

    return Tokenised()


def _entries(windows: WindowArrays) -> list[dict[str, Any]]:
    """Each window as a series of gluonts."""
    values = np.concatenate((windows.context, windows.target), axis=1)
    starts = [pd.Period(pd.Timestamp(int(second), unit="s"), freq="h") for second in windows.start]
    return [{"start": start, "target": series} for start, series in zip(starts, values, strict=True)]


def train_moirai(
    model: ForecastModel, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]
) -> None:
    """As upstream's fine-tuning."""
    from datasets import Dataset, Features, Sequence, Value
    from uni2ts.data.dataset import FinetuneDataset
    from uni2ts.data.indexer import HuggingFaceDatasetIndexer
    from uni2ts.data.loader import DataLoader
    from uni2ts.model.moirai.finetune import MoiraiFinetune

    class Tuned(MoiraiFinetune):
        # uni2ts 2.0.0 asks for this field and leaves it out, where windows are not packed into rows of 512 patches.
        seq_fields = (*MoiraiFinetune.seq_fields, "sample_id")

    context, horizon = windows.context.shape[1], windows.target.shape[1]
    patch = model.patch_size(context)
    tuned = Tuned(
        min_patches=2,
        min_mask_ratio=0.15,
        max_mask_ratio=0.5,
        max_dim=128,
        num_training_steps=steps,
        num_warmup_steps=0,
        module=model.module,
        lr=LEARNING_RATE,
        context_length=context,
        prediction_length=horizon,
        patch_size=patch,
    )
    values = np.concatenate((windows.context, windows.target), axis=1)
    rows = Dataset.from_dict(
        {
            "item_id": [str(number) for number in range(len(values))],
            "start": windows.start,
            "freq": ["h"] * len(values),
            "target": list(values),
        },
        features=Features(
            item_id=Value("string"),
            start=Value("timestamp[s]"),
            freq=Value("string"),
            target=Sequence(Value("float32")),
        ),
    )
    transform = tuned.train_transform_map["windows"](
        distance=1, prediction_length=horizon, context_length=context, patch_size=patch
    )
    data = FinetuneDataset(1, HuggingFaceDatasetIndexer(rows), transform)
    loader = DataLoader(data, batch_size=batch, shuffle=True, cycle=True, num_batches_per_epoch=steps)
    _lightning_trainer(tick).fit(tuned, loader)


def _lightning_trainer(tick: Callable[[], None]) -> Any:
    import lightning

    class Ticking(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            tick()

    # Lightning tells of hardware, loggers and workers, at length.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Ticking()],
    )


def train_lag_llama(
    model: ForecastModel, windows: WindowArrays, batch: int, steps: int, tick: Callable[[], None]
) -> None:
    """As upstream's estimator and Lightning module, re-enacted."""
    import lightning

    network = UpstreamNetwork(dict(model.module.named_parameters()), model.configuration)

    class Tuned(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.module = model.module

        def training_step(self, given: dict[str, Tensor], _: int) -> Tensor:
            return network.loss(given)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    batches = lag_llama_batches(windows, network, batch, steps)
    _lightning_trainer(tick).fit(Tuned(), batches)


def lag_llama_batches(windows: WindowArrays, network: UpstreamNetwork, batch: int, steps: int) -> Any:
    """gluonts' transformation of one series after another, stacked."""
    from gluonts import time_feature
    from gluonts.dataset.loader import as_stacked_batches
    from gluonts.itertools import Cyclic
    from gluonts.transform import (
        AddObservedValuesIndicator,
        AddTimeFeatures,
        AsNumpyArray,
        ExpectedNumInstanceSampler,
        InstanceSplitter,
    )

    horizon = windows.target.shape[1]
    names = (
        "second_of_minute",
        "minute_of_hour",
        "hour_of_day",
        "day_of_week",
        "day_of_month",
        "day_of_year",
    )
    calendar = [getattr(time_feature, name) for name in names]
    series = [
        AsNumpyArray(field="target", expected_ndim=1),
        AddObservedValuesIndicator(target_field="target", output_field="observed"),
        AddTimeFeatures(
            start_field="start",
            target_field="target",
            output_field="calendar",
            time_features=calendar,
            pred_length=horizon,
        ),
    ]
    sampler = ExpectedNumInstanceSampler(
        num_instances=1.0, min_instances=1, min_past=windows.context.shape[1], min_future=horizon
    )
    split = InstanceSplitter(
        target_field="target",
        is_pad_field="is_pad",
        start_field="start",
        forecast_start_field="forecast_start",
        instance_sampler=sampler,
        past_length=network.context + max(network.lags),
        future_length=horizon,
        time_series_fields=["calendar", "observed"],
    )
    # Upstream transforms a series once and keeps it; only the cut is made at every step.
    entries: Any = _entries(windows)
    for part in series:
        entries = list(part.apply(entries, is_train=True))
    return as_stacked_batches(
        split.apply(Cyclic(entries), is_train=True),
        batch_size=batch,
        output_type=torch.tensor,
        field_names=[
            f"{when}_{name}" for when in ("past", "future") for name in ("target", "observed", "calendar")
        ],
        num_batches_per_epoch=steps,
    )


TRAINERS: dict[str, Train] = {
    "chronos": train_chronos,
    "moirai": train_moirai,
    "lag-llama": train_lag_llama,
}
"""Family -> its upstream trainer."""
