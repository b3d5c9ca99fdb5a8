"""The same weights and the same input in upstream's own code: the same loss and the same forecast.

Published architectures at their real size, with random weights that are spread out, so that equality means
something. Both sides compute in float32 in a different order of operations, hence tolerances of some 1e-5 of
a value; what is drawn at random is compared by two-sample tests with fixed seeds, or through its distribution.
"""

import chronos as upstream
import numpy as np
import pytest
import torch
from chronos.chronos2 import Chronos2Dataset
from scipy.stats import ks_2samp

from tests.helpers.random_models import random_uniforms, random_values, series, spread_out
from workflow_scripts.models.chronos import Chronos
from workflow_scripts.models.chronos_2 import Chronos2
from workflow_scripts.models.chronos_bolt import ChronosBolt
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.moirai import Moirai
from workflow_scripts.models.moirai_2 import Moirai2
from workflow_scripts.models.paths import Independent
from workflow_scripts.models.registry import family_class, variant

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
CONTEXT, HORIZON = 72, 36
"""The paper's geometry."""


def real(name: str) -> ForecastModel:
    """A published variant with random weights of ordinary size."""
    entry = variant(name)
    model = family_class(entry.family).create(entry.sizes, seed=1)
    spread_out(model.module, seed=2)
    return model


@pytest.fixture(scope="module")
def t5() -> Chronos:
    model = real("chronos-t5-tiny")
    with torch.no_grad():
        # Logits with a standard deviation of about 3, so that tokens differ in probability.
        model.module.decoder.final_layer_norm.weight.fill_(50)
    return model


@pytest.fixture(scope="module")
def t5_pipeline(t5: Chronos, tmp_path_factory: pytest.TempPathFactory) -> upstream.ChronosPipeline:
    folder = tmp_path_factory.mktemp("chronos-t5-tiny")
    t5.save(folder)
    return upstream.BaseChronosPipeline.from_pretrained(folder, device_map="cpu", dtype=torch.float32)


def test_chronos_t5_loss_equals_upstreams_tokens_in_transformers_t5(
    t5: Chronos, t5_pipeline: upstream.ChronosPipeline
) -> None:
    """Source: chronos' MeanScaleUniformBins and T5ForConditionalGeneration, as its training script has them."""
    context, target = random_values(6, CONTEXT, seed=1), random_values(6, HORIZON, seed=2)
    settings = upstream.ChronosConfig(**{**vars(t5_pipeline.model.config), "prediction_length": HORIZON})
    tokenizer = settings.create_tokenizer()
    ids, mask, scale = tokenizer.context_input_transform(context.clone())
    labels, label_mask = tokenizer.label_input_transform(target.clone(), scale)
    labels[label_mask == 0] = -100
    expected = t5_pipeline.model.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(t5.loss(series(context), target), expected, rtol=1e-5, atol=0)


def test_chronos_t5_token_distributions_equal_upstreams_along_a_path(
    t5: Chronos, t5_pipeline: upstream.ChronosPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source: T5's uncached forward on upstream's tokens; the end token is barred, as `generate` bars it.

    Tolerance: 1e-5 of probability. What the 50 likeliest tokens are drawn with: test_chronos.py.
    """
    context, uniforms = random_values(3, CONTEXT, seed=3), random_uniforms(3, 2, 12)
    scores: list[torch.Tensor] = []
    draw = Chronos.draw
    monkeypatch.setattr(
        Chronos, "draw", lambda self, logits, u: scores.append(logits) or draw(self, logits, u)
    )
    values = t5.sample(series(context), uniforms)
    ids, mask, _ = t5.encode_context(series(context))
    tokens = t5.draw_paths(ids, mask, 12, Independent(uniforms)).flatten(0, 1)
    # The first step's are computed once for both paths of a window.
    ours = torch.stack([scores[0].repeat_interleave(2, dim=0), *scores[1:12]], dim=1)

    ids, mask, scale = t5_pipeline.tokenizer.context_input_transform(context.clone())
    start = torch.zeros(6, 1, dtype=torch.int64)
    with torch.no_grad():
        theirs = t5_pipeline.model.model(
            input_ids=ids.repeat_interleave(2, 0),
            attention_mask=mask.repeat_interleave(2, 0),
            decoder_input_ids=torch.cat((start, tokens[:, :-1]), dim=1),
        ).logits
    theirs[..., 1] = ours[..., 1] = -torch.inf
    torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1), rtol=0, atol=1e-5)
    expected = t5_pipeline.tokenizer.output_transform(tokens.unflatten(0, (3, 2)), scale)
    assert torch.equal(values, expected)


def test_chronos_t5_forecasts_have_the_distribution_of_upstreams(
    t5: Chronos, t5_pipeline: upstream.ChronosPipeline
) -> None:
    """Source: ChronosPipeline.predict. Kolmogorov-Smirnov at every step and between the first and the last."""
    context = random_values(1, CONTEXT, seed=4, missing=0.0)
    torch.manual_seed(5)
    theirs = t5_pipeline.predict(context, prediction_length=4, num_samples=600)[0].numpy()
    ours = t5.sample(series(context), random_uniforms(1, 600, 4, seed=6))[0].numpy()
    for step in range(4):
        assert ks_2samp(theirs[:, step], ours[:, step]).pvalue > 0.001
    assert ks_2samp(theirs[:, 3] - theirs[:, 0], ours[:, 3] - ours[:, 0]).pvalue > 0.001


def test_chronos_bolt_equals_upstreams_pipeline_and_training_loss() -> None:
    """Source: ChronosBoltPipeline.predict_quantiles, and the model's own loss. Tolerance: 1e-5 of a value."""
    model = real("chronos-bolt-small")
    pipeline = upstream.ChronosBoltPipeline(model.module)
    for length, horizon in ((CONTEXT, HORIZON), (512, 64)):
        context, target = random_values(4, length, seed=7), random_values(4, horizon, seed=8)
        expected, _ = pipeline.predict_quantiles(context, prediction_length=horizon, quantile_levels=LEVELS)
        found = model.quantiles(series(context), random_uniforms(4, 2, horizon), LEVELS)
        torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-3)
        with torch.no_grad():
            loss = pipeline.model(context=context, target=target).loss
            torch.testing.assert_close(model.loss(series(context), target), loss, rtol=1e-5, atol=0)
    assert isinstance(model, ChronosBolt)


def test_chronos_2_equals_upstreams_pipeline_and_training_batch() -> None:
    """Source: Chronos2Pipeline.predict_quantiles; Chronos2Dataset with the model's own loss.

    Tolerance: 1e-5 of a value.
    """
    model = real("chronos-2")
    pipeline = upstream.Chronos2Pipeline(model.module)
    context, target = random_values(3, CONTEXT, seed=9), random_values(3, HORIZON, seed=10)
    expected, _ = pipeline.predict_quantiles(
        context[:, None], prediction_length=HORIZON, quantile_levels=LEVELS
    )
    found = model.quantiles(series(context), random_uniforms(3, 2, HORIZON), LEVELS)
    torch.testing.assert_close(found, torch.cat(expected).transpose(1, 2), rtol=1e-5, atol=1e-3)
    batch = next(
        iter(
            Chronos2Dataset(
                torch.cat((context, target), dim=1)[:, None],
                context_length=8192,
                prediction_length=HORIZON,
                batch_size=3,
                output_patch_size=16,
                mode="validation",
            )
        )
    )
    with torch.no_grad():
        loss = pipeline.model(**batch).loss
        torch.testing.assert_close(model.loss(series(context), target), loss, rtol=1e-5, atol=0)
    assert isinstance(model, Chronos2)


def past_of(values: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch as gluonts' instance splitter hands it to uni2ts, of series that are long enough: without padding."""
    return {
        "past_target": values.nan_to_num()[..., None],
        "past_observed_target": ~values.isnan()[..., None],
        "past_is_pad": torch.zeros_like(values, dtype=torch.bool),
    }


@pytest.fixture(scope="module")
def moirai() -> Moirai:
    return real("moirai-1.1-R-small")


@pytest.mark.parametrize(("length", "horizon", "patch"), [(24, 12, 8), (CONTEXT, HORIZON, 8), (512, 96, 64)])
def test_moirai_loss_and_densities_equal_upstreams(
    moirai: Moirai, length: int, horizon: int, patch: int
) -> None:
    """Source: MoiraiForecast's tokens and distribution, MoiraiFinetune's loss. Tolerance: 1e-4 of a density.

    The density is compared at one value for every point of the forecast.
    """
    from uni2ts.model.moirai import MoiraiFinetune, MoiraiForecast

    context, target = random_values(5, length, seed=11), random_values(5, horizon, seed=12)
    geometry = {"target_dim": 1, "feat_dynamic_real_dim": 0, "past_feat_dynamic_real_dim": 0}
    forecast = MoiraiForecast(
        prediction_length=horizon, context_length=length, module=moirai.module, patch_size=patch, **geometry
    )
    names = ("target", "observed_mask", "sample_id", "time_id", "variate_id", "prediction_mask")
    tensors = forecast._convert(
        patch,
        **past_of(context),
        future_target=target.nan_to_num()[..., None],
        future_observed_target=~target.isnan()[..., None],
        future_is_pad=torch.zeros_like(target, dtype=torch.bool),
    )
    batch = dict(zip(names, tensors, strict=True))
    batch["patch_size"] = torch.full_like(batch["sample_id"], patch)
    training = MoiraiFinetune(2, 0.15, 0.5, 1, 1, 0, module=moirai.module)
    training.log = lambda *_, **__: None
    with torch.no_grad():
        expected = training.training_step(batch, 0)
        torch.testing.assert_close(moirai.loss(series(context), target), expected, rtol=1e-5, atol=0)
        theirs = forecast._get_distr(patch, **past_of(context))
        ours = moirai.distribution(moirai.inputs(series(context), torch.zeros(5, horizon)))
        future = slice(-(-length // patch), None)
        torch.testing.assert_close(
            ours.log_prob(torch.full_like(ours.mean, 83.0))[:, future],
            theirs.log_prob(torch.full_like(theirs.mean, 83.0))[:, future, :patch],
            rtol=1e-4,
            atol=1e-4,
        )


def test_moirai_forecasts_have_the_distribution_of_upstreams(moirai: Moirai) -> None:
    """Source: MoiraiForecast.forward, which draws. Kolmogorov-Smirnov at every step."""
    from uni2ts.model.moirai import MoiraiForecast

    context = random_values(1, 24, seed=13, missing=0.0)
    forecast = MoiraiForecast(
        prediction_length=12,
        context_length=24,
        module=moirai.module,
        patch_size=8,
        target_dim=1,
        feat_dynamic_real_dim=0,
        past_feat_dynamic_real_dim=0,
    )
    torch.manual_seed(14)
    with torch.no_grad():
        theirs = forecast(**past_of(context), num_samples=5000)[0].numpy()
    ours = moirai.sample(series(context), random_uniforms(1, 5000, 12, seed=15))[0].numpy()
    for step in range(12):
        assert ks_2samp(theirs[:, step], ours[:, step]).pvalue > 0.001


def test_moirai_2_equals_upstreams_predict() -> None:
    """Source: Moirai2Forecast.predict. Tolerance: 1e-5 of a value."""
    from uni2ts.model.moirai2 import Moirai2Forecast

    model = real("moirai-2.0-R-small")
    for length, horizon in ((24, 12), (CONTEXT, HORIZON), (512, 64)):
        context = random_values(4, length, seed=16, missing=0.0)
        forecast = Moirai2Forecast(
            prediction_length=horizon,
            context_length=length,
            module=model.module,
            target_dim=1,
            feat_dynamic_real_dim=0,
            past_feat_dynamic_real_dim=0,
        )
        expected = torch.from_numpy(np.asarray(forecast.predict(list(context.numpy()))))
        found = model.quantiles(series(context), random_uniforms(4, 2, horizon), LEVELS)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    assert isinstance(model, Moirai2)
