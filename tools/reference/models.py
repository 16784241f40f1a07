"""Tiny seeded models: every component is built from a config and filled from a `seeded.Manifest`."""

import math

import torch
from diffusers import AuraFlowTransformer2DModel, AutoencoderKL, FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

from seeded import Manifest

# The encoder's embedding is the same tensor as `shared.weight`, and files hold it once.
TIED = "encoder.embed_tokens.weight"
# What names in published CLIP files start with.
CLIP_PREFIX = "text_model."


def _fan_in_scale(shape: tuple[int, ...]) -> float:
    """Keeps the variance of a matrix product or a convolution."""
    return math.sqrt(3 / math.prod(shape[1:]))


def _vector_rule(name: str) -> tuple[float, float]:
    """Norm weights around 1, biases around 0."""
    return (0.1, 0.0) if name.endswith("bias") else (0.1, 1.0)


def text_encoder_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of a UMT5 encoder tensor."""
    if len(shape) == 1:
        return _vector_rule(name)
    if name == "shared.weight":
        return 1.5, 0.0
    if "relative_attention_bias" in name:
        return 1.0, 0.0
    return _fan_in_scale(shape), 0.0


def transformer_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of an AuraFlow transformer tensor."""
    if len(shape) == 1:
        return _vector_rule(name)
    if name == "pos_embed.pos_embed":
        return 0.5, 0.0
    if name == "register_tokens":
        return 1.0, 0.0
    return _boost(name) * _fan_in_scale(shape), 0.0


def _boost(name: str) -> float:
    """Strong gates and values: attention averages over tokens, and its result passes only through the MLP."""
    if "norm1" in name:
        return 2.5
    mixing = ("to_v.", "to_out.", "add_v_proj.", "to_add_out.")
    return 2.5 if any(part in name for part in mixing) else 1.0


def flux_transformer_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of a FLUX transformer tensor: gates, values and the final modulation are strong."""
    if len(shape) == 1:
        return (0.3, 1.0) if ".norm_" in name and "attn" in name else (0.2, 0.0)
    strong = ("norm", "to_v.", "to_out.", "add_v_proj.", "to_add_out.")
    return (2.0 if any(part in name for part in strong) else 1.0) * _fan_in_scale(shape), 0.0


def clip_text_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of a CLIP text encoder tensor."""
    if len(shape) == 1:
        return _vector_rule(name)
    if "embedding" in name:
        return 1.0, 0.0
    strong = ("q_proj", "k_proj", "v_proj", "out_proj")
    return (1.6 if any(part in name for part in strong) else 1.0) * _fan_in_scale(shape), 0.0


def vae_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of a VAE tensor; the last convolution keeps most pixels inside the displayable range."""
    if len(shape) == 1:
        return _vector_rule(name)
    boost = 0.6 if name.endswith("conv_out.weight") else 1.0
    return boost * _fan_in_scale(shape), 0.0


def seed(model: torch.nn.Module, salt: str, rule) -> Manifest:
    """Fills `model` with the weights of the returned manifest."""
    state = {name: value for name, value in model.state_dict().items() if name != TIED}
    manifest = Manifest.of(salt, state, rule)
    load(model, manifest)
    return manifest


def load(model: torch.nn.Module, manifest: Manifest) -> None:
    """Fills `model` from a manifest that names every tensor."""
    missing, unexpected = model.load_state_dict(manifest.state_dict(), strict=False)
    assert set(missing) <= {TIED} and not unexpected, (missing, unexpected)
    model.eval().requires_grad_(False)


def text_encoder(salt: str, **options) -> tuple[UMT5EncoderModel, Manifest]:
    """A UMT5 encoder with the constants of Pile-T5."""
    config = UMT5Config(
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, **options
    )
    model = UMT5EncoderModel(config)
    return model, seed(model, salt, text_encoder_rule)


def t5_encoder(salt: str, **options) -> tuple[T5EncoderModel, Manifest]:
    """A T5 v1.1 encoder: the bias of the first layer serves all layers."""
    config = T5Config(
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
        **options,
    )
    model = T5EncoderModel(config)
    return model, seed(model, salt, text_encoder_rule)


def clip_text(salt: str, **options) -> tuple[CLIPTextModel, Manifest]:
    """A CLIP text encoder; the manifest has the names of published files, which transformers 5 shortens in memory."""
    model = CLIPTextModel(CLIPTextConfig(**options))
    state = {CLIP_PREFIX + name: value for name, value in model.state_dict().items()}
    manifest = Manifest.of(salt, state, clip_text_rule)
    load_clip_text(model, manifest)
    return model, manifest


def load_clip_text(model: CLIPTextModel, manifest: Manifest) -> None:
    """Fills a CLIP text encoder from a manifest with published names."""
    model.load_state_dict({name.removeprefix(CLIP_PREFIX): value for name, value in manifest.state_dict().items()})
    model.eval().requires_grad_(False)


def flux_transformer(salt: str, **options) -> tuple[FluxTransformer2DModel, Manifest]:
    """A FLUX transformer whose inner width follows from its heads."""
    model = FluxTransformer2DModel(**options)
    return model, seed(model, salt, flux_transformer_rule)


def transformer(salt: str, **options) -> tuple[AuraFlowTransformer2DModel, Manifest]:
    """An AuraFlow transformer whose inner width follows from its heads."""
    width = options["attention_head_dim"] * options["num_attention_heads"]
    model = AuraFlowTransformer2DModel(caption_projection_dim=width, **options)
    return model, seed(model, salt, transformer_rule)


def vae(salt: str, **options) -> tuple[AutoencoderKL, Manifest]:
    """An AutoencoderKL with one up and one down block per channel count."""
    levels = len(options["block_out_channels"])
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels, **options
    )
    return model, seed(model, salt, vae_rule)
