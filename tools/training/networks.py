"""The four parts of the pipeline, built from a preset's sizes."""

import pathlib

import diffusers
import torch
import transformers
from diffusers import AuraFlowTransformer2DModel, AutoencoderKL, FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file
from transformers import UMT5Config, UMT5EncoderModel

from drawings import SIZE
from presets import AutoencoderSizes, TransformerSizes

HEAD_WIDTH = 64

# No bars while files of a few megabytes are written.
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()


def autoencoder(sizes: AutoencoderSizes) -> AutoencoderKL:
    """Pictures [-1, 1] to latents of an eighth of the side and back."""
    levels = len(sizes.channels)
    return AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels, block_out_channels=sizes.channels,
        layers_per_block=sizes.layers, latent_channels=sizes.latent_channels, norm_num_groups=sizes.groups,
        sample_size=SIZE,
    )


def is_gpu(device: torch.device) -> bool:
    """Whether torch.compile helps, and bfloat16 in convolutions too."""
    return device.type == "cuda"


def uses_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether the transformer's products are made in bfloat16. "auto" does so where they are faster than those of
    float32: on GPUs and on CPUs that have instructions for them (AVX-512 BF16 or AMX), about twice there."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type != "cpu":
        return is_gpu(device)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def compiled(module, enabled: bool):
    """The module compiled for fixed shapes, or as it is. It shares its weights with the original."""
    return torch.compile(module, dynamic=False) if enabled else module


def half_precision(device: torch.device, enabled: bool):
    """A context in which matrix products use bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def transformer(sizes: TransformerSizes) -> AuraFlowTransformer2DModel:
    """Noisy latents [n, 4, 16, 16], text states and sigma to velocity."""
    width = sizes.heads * HEAD_WIDTH
    return AuraFlowTransformer2DModel(
        sample_size=SIZE // 8, patch_size=2, in_channels=4, out_channels=4, num_mmdit_layers=sizes.joint_blocks,
        num_single_dit_layers=sizes.single_blocks, attention_head_dim=HEAD_WIDTH, num_attention_heads=sizes.heads,
        joint_attention_dim=sizes.text_width, caption_projection_dim=width, pos_embed_max_size=256,
    )


def text_encoder(sizes: TransformerSizes, vocabulary: int) -> UMT5EncoderModel:
    """Token ids [n, tokens] to states [n, tokens, text_width]."""
    configuration = UMT5Config(
        vocab_size=vocabulary, d_model=sizes.text_width, d_kv=HEAD_WIDTH, d_ff=sizes.text_hidden,
        num_layers=sizes.text_layers, num_heads=sizes.text_width // HEAD_WIDTH, relative_attention_num_buckets=32,
        relative_attention_max_distance=128, dropout_rate=0.0, feed_forward_proj="gated-gelu",
        is_encoder_decoder=False, tie_word_embeddings=False, pad_token_id=0, eos_token_id=2,
    )
    return UMT5EncoderModel(configuration)


def scheduler(shift: float) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)


@torch.no_grad()
def initialize(denoiser: AuraFlowTransformer2DModel, encoder: UMT5EncoderModel) -> None:
    """Starts blocks close to the identity. In the text encoder, words contrast plenty and each head prefers some
    distances: grammar is in the neighbours of a word, and these preferences learn slowly from zero."""
    torch.nn.init.zeros_(denoiser.proj_out.weight)
    blocks = [*denoiser.joint_transformer_blocks, *denoiser.single_transformer_blocks]
    modulations = [denoiser.norm_out.linear] + [block.norm1.linear for block in blocks]
    modulations += [block.norm1_context.linear for block in denoiser.joint_transformer_blocks]
    for modulation in modulations:
        torch.nn.init.normal_(modulation.weight, std=0.01)
    for name, parameter in encoder.named_parameters():
        if "shared" in name or "embed_tokens" in name:
            torch.nn.init.normal_(parameter)
        elif "relative_attention_bias" in name:
            torch.nn.init.normal_(parameter, std=2.0)
        elif parameter.dim() == 2:
            # T5 does not divide scores by the square root of the head's width: queries start so much smaller.
            std = parameter.shape[1] ** -0.5
            torch.nn.init.normal_(parameter, std=std / HEAD_WIDTH**0.5 if "SelfAttention.q" in name else std)


def start_from(module: torch.nn.Module, folder: pathlib.Path) -> None:
    """Takes over every tensor of a diffusers folder whose name and shape are the module's."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SystemExit(f"{folder}: no .safetensors file; --start takes a folder in diffusers' form")
    own, taken = module.state_dict(), {}
    for file in files:
        for name, values in load_file(file).items():
            if name in own and own[name].shape == values.shape:
                taken[name] = values.to(own[name])
    module.load_state_dict(taken, strict=False)
    print(f"{folder}: {len(taken)} of {len(own)} tensors taken over", flush=True)
