"""Chronos-T5: next-token prediction over quantised values (Ansari et al. 2024, arXiv 2403.07815).

The quantisation is written out here, because importing the `chronos` package costs more than importing the
one class that computes; tests hold it bit for bit to `chronos.MeanScaleUniformBins`.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers.cache_utils import EncoderDecoderCache
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from workflow_scripts.models.base_weights import read_config
from workflow_scripts.models.interface import Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.paths import Choose, PathModel
from workflow_scripts.models.transformers_parts import load_module, save_module
from workflow_scripts.runtime.errors import UserError

VOCABULARY = 4096
BIN_LIMIT = 15.0
"""The published models: bins for scaled values between -15 and 15."""
IGNORED_LABEL = -100
"""Label that the T5 loss skips (transformers' convention)."""


@dataclass(frozen=True)
class Quantiser:
    """Mean scaling and uniform bins: values to token ids and back (section 3.1 of the paper).

    Token 0 is padding and "not observed", token 1 ends a sequence, the others are bins.
    """

    low_limit: float
    high_limit: float
    tokens: int
    special_tokens: int
    pad_token: int
    end_token: int

    @classmethod
    def of(cls, chronos_config: dict[str, Any]) -> Self:
        """The quantiser that a checkpoint's configuration describes."""
        limits = chronos_config["tokenizer_kwargs"]
        return cls(
            low_limit=limits["low_limit"],
            high_limit=limits["high_limit"],
            tokens=chronos_config["n_tokens"],
            special_tokens=chronos_config["n_special_tokens"],
            pad_token=chronos_config["pad_token_id"],
            end_token=chronos_config["eos_token_id"],
        )

    @property
    def centres(self) -> Tensor:
        """Value of every bin, on the scaled axis, float32 [bins]."""
        return torch.linspace(
            self.low_limit, self.high_limit, self.tokens - self.special_tokens - 1, device="cpu"
        )

    @property
    def boundaries(self) -> Tensor:
        """Edges between bins, float32 [bins + 1]; the outer two catch everything beyond the limits."""
        centres = self.centres
        return torch.cat((torch.tensor([-1e20]), (centres[1:] + centres[:-1]) / 2, torch.tensor([1e20])))

    def scale(self, context: Tensor) -> Tensor:
        """Mean absolute observed value [batch]; 1 where that is zero or nothing was observed."""
        observed = ~torch.isnan(context)
        scale = torch.nansum(torch.abs(context) * observed, dim=-1) / torch.nansum(observed, dim=-1)
        return torch.where(scale > 0, scale, torch.ones_like(scale))

    def encode(self, values: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and mask (true = observed) [batch, time + 1], with the end token appended."""
        observed = ~torch.isnan(values)
        bins = torch.bucketize(values / scale[:, None], self.boundaries.to(values.device), right=True)
        ids = (bins + self.special_tokens).clamp(0, self.tokens - 1)
        ids = ids.masked_fill(~observed, self.pad_token)
        end = torch.full_like(ids[:, :1], self.end_token)
        return torch.cat((ids, end), dim=1), torch.cat((observed, torch.ones_like(observed[:, :1])), dim=1)

    def decode(self, ids: Tensor, scale: Tensor) -> Tensor:
        """Values of token ids [batch, samples, time], on the scale of the context."""
        centres = self.centres.to(ids.device)
        indices = (ids - self.special_tokens - 1).clamp(0, len(centres) - 1)
        return centres[indices] * scale[:, None, None]


def draw_tokens(logits: Tensor, uniforms: Tensor, top_k: int, forbidden: int) -> Tensor:
    """Draw tokens for each row by inverting the cumulative distribution of its top-k tokens, int64 [rows, any].

    logits: [rows, vocabulary]; uniforms: float64 [rows, any]; forbidden: a token that is never drawn.
    Kept tokens are ordered by id, so that a larger uniform means a larger value.
    """
    forbidden_column = torch.tensor([forbidden], device=logits.device)
    scores = logits.index_fill(1, forbidden_column, -torch.inf)
    kept = scores.topk(min(top_k, scores.shape[1]), dim=1, sorted=False).indices.sort(dim=1).values
    cumulative = scores.gather(1, kept).double().softmax(dim=1).cumsum(dim=1)
    places = torch.searchsorted(cumulative, uniforms.contiguous()).clamp(max=kept.shape[1] - 1)
    return kept.gather(1, places)


class Chronos(PathModel):
    """A Chronos-T5 checkpoint of any size. `module` is transformers' T5ForConditionalGeneration."""

    attention_targets = r".*(SelfAttention|EncDecAttention)\.(q|k|v|o)"
    linear_targets = rf"{attention_targets}|.*DenseReluDense\.(wi|wi_0|wi_1|wo)"
    key_value_targets = r".*(SelfAttention|EncDecAttention)\.(k|v)"
    feedforward_targets = r".*DenseReluDense\.wo"
    head_parameters = r"lm_head\.weight"
    # T5 has no additive biases; arXiv 2409.11302 trains its relative attention biases instead.
    bias_parameters = r".*relative_attention_bias\.weight"
    norm_parameters = r".*layer_norm\.weight"

    def __init__(self, module: T5ForConditionalGeneration) -> None:
        self.module = module
        settings = module.config.chronos_config
        self._quantiser = Quantiser.of(settings)
        self._context_length: int = settings["context_length"]
        self._prediction_length: int = settings["prediction_length"]
        self._top_k: int = settings["top_k"]

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode, as upstream starts its own training.

        sizes: d_model, d_ff, num_layers, num_heads, d_kv; and, where they differ from the published models,
        vocab_size, bin_limit (the largest scaled value), dropout_rate, initializer_factor.
        """
        settings = _chronos_settings(sizes.get("vocab_size", VOCABULARY), sizes.get("bin_limit", BIN_LIMIT))
        config = T5Config(
            # Upstream's training starts so small; the embedded size has no time to grow from there.
            **{"vocab_size": VOCABULARY, "initializer_factor": 0.05, **sizes},
            feed_forward_proj="relu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
            chronos_config=settings,
        )
        config.architectures = ["T5ForConditionalGeneration"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = T5ForConditionalGeneration(config).eval()
            with torch.no_grad():
                module.shared.weight.copy_(_ordered_bins(config))
            return cls(module)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        _check_is_chronos(folder)
        return cls(load_module(T5ForConditionalGeneration, folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; `BaseChronosPipeline.from_pretrained` reads them."""
        save_module(self._t5, folder)

    @property
    def _t5(self) -> T5ForConditionalGeneration:
        # A wrapped module holds the T5 that computes; its adapters are inside that T5.
        unwrap = getattr(self.module, "get_base_model", None)
        return self.module if unwrap is None else unwrap()

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Cross-entropy over bins, the end token included; see ForecastModel.loss."""
        self._check_lengths(context, target.shape[1])
        ids, mask, scale = self.encode_context(context)
        labels, observed = self._quantiser.encode(target, scale)
        return self._t5(
            input_ids=ids,
            attention_mask=mask,
            labels=labels.masked_fill(~observed, IGNORED_LABEL),
            use_cache=False,
        ).loss

    def grow(self, context: Series, horizon: int, choose: Choose) -> Tensor:
        """Tokens, one at a time, cached; see PathModel.grow."""
        self._check_lengths(context, horizon)
        ids, mask, _ = self.encode_context(context)
        return self.draw_paths(ids, mask, horizon, choose)

    def decode(self, drawn: Tensor, context: Series) -> Tensor:
        """Values of tokens, float32 [batch, any, time]; see PathModel.decode."""
        return self._quantiser.decode(drawn, self._quantiser.scale(context.values))

    def encode_context(self, context: Series) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids and mask [batch, time + 1], and the scale [batch]."""
        scale = self._quantiser.scale(context.values)
        ids, mask = self._quantiser.encode(context.values, scale)
        return ids, mask, scale

    def draw_paths(self, ids: Tensor, mask: Tensor, horizon: int, choose: Choose) -> Tensor:
        """Token paths, int64 [batch, paths, horizon]."""
        t5, batch = self._t5, len(ids)
        encoded = t5.encoder(input_ids=ids, attention_mask=mask)
        # The first step is the same for all paths of a window: run it, and the cross-attention's
        # keys and values with it, once for each window.
        first = t5(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=ids.new_full((batch, 1), t5.config.decoder_start_token_id),
            use_cache=True,
        )
        tokens = [choose(partial(self.draw, first.logits[:, -1]), 0)]
        paths = tokens[0].shape[1]
        cache: EncoderDecoderCache = first.past_key_values
        cache.batch_repeat_interleave(paths)
        mask = mask.repeat_interleave(paths, dim=0)
        # From here on the encoder's output is only asked for its shape.
        shape_only = (encoded.last_hidden_state[:1].expand(batch * paths, -1, -1),)
        for step in range(1, horizon):
            output = t5(
                encoder_outputs=shape_only,
                attention_mask=mask,
                decoder_input_ids=tokens[-1].reshape(-1, 1),
                past_key_values=cache,
                use_cache=True,
            )
            tokens.append(choose(partial(self.draw, output.logits[:, -1]), step))
        return torch.stack(tokens, dim=2)

    def draw(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Tokens at these probabilities, see `draw_tokens`; the end of a sequence is never drawn.

        logits: [rows, vocabulary]; uniforms: float64 [batch, paths, any], whose rows follow those of the logits.
        """
        rows = uniforms.reshape(len(logits), -1)
        return draw_tokens(logits, rows, self._top_k, self._quantiser.end_token).reshape(uniforms.shape)

    def _check_lengths(self, context: Series, horizon: int) -> None:
        require_at_most("windows.context", context.values.shape[1], self._context_length, "Chronos-T5")
        require_at_most("windows.horizon", horizon, self._prediction_length, "Chronos-T5")


def _ordered_bins(config: T5Config) -> Tensor:
    """Initial embeddings [tokens, d_model] in which neighbouring bins are alike, of the factor's size.

    Random Fourier features of the bin's number, waves from a few bins to the whole axis: the order of the
    bins, which training would have to find out bin by bin, is present from the start.
    """
    tokens, width = config.vocab_size, config.d_model
    waves = torch.exp(torch.linspace(0, math.log(tokens / 8), width, device="cpu"))
    phase = 2 * math.pi * torch.rand(width, device="cpu")
    angle = 2 * math.pi * torch.arange(tokens, device="cpu")[:, None] / (2 * tokens) * waves + phase
    return config.initializer_factor * math.sqrt(2) * torch.cos(angle)


def _chronos_settings(vocabulary: int = VOCABULARY, bin_limit: float = BIN_LIMIT) -> dict[str, Any]:
    """What upstream's pipeline reads beside T5's own configuration; defaults of the published models."""
    return {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -bin_limit, "high_limit": bin_limit},
        "context_length": 512,
        "prediction_length": 64,
        "n_tokens": vocabulary,
        "n_special_tokens": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "use_eos_token": True,
        "model_type": "seq2seq",
        "num_samples": 20,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
    }


def _check_is_chronos(folder: Path) -> None:
    """Refuse a folder that does not hold a Chronos-T5 model of the kind that this module computes."""
    settings = read_config(folder, "Chronos-T5", {"chronos_config"})["chronos_config"]
    fixed = ("tokenizer_class", "use_eos_token", "model_type", "temperature", "top_p")
    expected = {name: _chronos_settings()[name] for name in fixed}
    found = {name: settings.get(name) for name in fixed}
    if found != expected:
        raise UserError(
            str(folder / "config.json"),
            str(found),
            f"a Chronos-T5 configuration with {expected}",
            "point to a folder of Chronos-T5 weights",
        )
