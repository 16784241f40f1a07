"""The tiny FLUX.1 models and what each is asked for (used by make_flux_pipelines.py)."""

from make_clip_text import PUBLISHED
from make_flux_schedule import CONFIGURATIONS
from make_flux_transformer import blocks

# How many ids flux_vocabulary.py's tokenizers have; T5's embedding has a few rows more, as the published one.
CLIP_VOCABULARY = 914
T5_VOCABULARY = 300


def t5(width: int, layers: int, heads: int, head: int, hidden: int, **options) -> dict:
    """T5 encoder options."""
    return dict(
        vocab_size=T5_VOCABULARY, d_model=width, d_kv=head, d_ff=hidden, num_layers=layers, num_heads=heads, **options
    )


def clip(width: int, layers: int, heads: int, **options) -> dict:
    """CLIP text encoder options."""
    return dict(
        vocab_size=CLIP_VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        **PUBLISHED | options,
    )


def image(channels: tuple[int, ...], layers: int, groups: int, **options) -> dict:
    """VAE options; without others FLUX.1's latents."""
    return dict(
        sample_size=64,
        block_out_channels=channels,
        layers_per_block=layers,
        norm_num_groups=groups,
        use_quant_conv=False,
        use_post_quant_conv=False,
        **dict(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159) | options,
    )


def request(prompt: str, width: int, height: int, steps: int, guidance: float, seeds: list[int], **options) -> dict:
    """What the pipeline is asked for; one image per seed. Given latents take the place of the seed's noise."""
    defaults = dict(
        negative_prompt=None, true_cfg_scale=1.0, max_sequence_length=24, sigmas=None, given_latents=False
    )
    return (
        dict(prompt=prompt, width=width, height=height, steps=steps, guidance_scale=guidance, seeds=seeds)
        | defaults
        | options
    )


LONG = (
    "a wide landscape with mountains, a lake and a red sun behind the clouds, three boats rest in the harbour, "
    "their sails folded, the sky full of stars, an old lighthouse stands on the cliff and the waves break against "
    "the stones, painted in oil, highly detailed"
)
MANY_SCRIPTS = "日本の山と川 \u2014 café, Häuschen \U0001f600 e\u0301 ﬁne \uff21\uff22 ½ مرحبا Привет"

# tokenizers: "published" (vocab.json, merges.txt; spiece.model, tokenizer.json), "saved" (both tokenizer.json as
# transformers 5 writes them) or "minimal" (merges.txt; spiece.model).
MODELS = {
    "dev": dict(
        clip=clip(20, 2, 2),
        t5=t5(24, 2, 2, 16, 48),
        transformer=blocks(16, 2, (4, 6, 6), 2, 2, 24, 20),
        vae=image((8, 16, 16, 16), 1, 4),
        scheduler=CONFIGURATIONS["dev"],
        tokenizers="published",
        requests={
            "square": request("a red fox beside a quiet river", 64, 64, 3, 3.5, [0]),
            "wide": request("a photograph of two cats", 96, 64, 4, 7.0, [42], max_sequence_length=48),
            # Sides are rounded down to multiples of 16.
            "rounded-two-images": request("the night train crosses the bridge", 104, 88, 2, 1.0, [7, 8]),
            # More tokens than both encoders take.
            "long": request(LONG, 48, 80, 2, 3.5, [2**32 + 5], max_sequence_length=40),
            "many-scripts": request(MANY_SCRIPTS, 64, 48, 3, 2.5, [666], max_sequence_length=64),
            "empty": request("", 32, 32, 2, 0.0, [1], max_sequence_length=4),
            "true-guidance": request(
                "an old lighthouse, it's night",
                64,
                96,
                3,
                3.5,
                [11],
                negative_prompt="blurry, low quality",
                true_cfg_scale=3.0,
            ),
            "true-guidance-empty": request(
                "a bowl of apples", 48, 48, 4, 1.0, [12], negative_prompt="", true_cfg_scale=3.0
            ),
            "sigmas": request("three boats", 64, 32, 4, 3.5, [3], sigmas=[1.0, 0.8, 0.35, 0.1]),
            "given-latents": request("a  small   robot ", 48, 64, 2, 3.5, [0], given_latents=True),
            "one-step": request("a rose", 16, 16, 1, 30.0, [9], max_sequence_length=2),
        },
    ),
    "schnell": dict(
        clip=clip(24, 1, 3, bos_token_id=CLIP_VOCABULARY - 2, eos_token_id=CLIP_VOCABULARY - 1),
        t5=t5(32, 1, 4, 8, 48),
        transformer=blocks(24, 2, (4, 10, 10), 1, 3, 32, 24, guidance_embeds=False),
        vae=image((8, 8, 16, 16), 2, 8),
        scheduler=CONFIGURATIONS["schnell"],
        tokenizers="saved",
        requests={
            "tall": request("an old lighthouse stands on the cliff", 64, 112, 4, 0.0, [5]),
            "one-step": request("A RED Fox", 48, 48, 1, 3.5, [2], max_sequence_length=16),
            "true-guidance": request(
                "a rocket", 80, 48, 2, 0.0, [4], negative_prompt="a bad drawing of a hand", true_cfg_scale=2.0
            ),
        },
    ),
    # Nothing of it has the published proportions; the VAE's latents are a quarter as wide as the picture.
    "odd": dict(
        clip=clip(30, 3, 3),
        t5=t5(20, 3, 3, 10, 36, relative_attention_num_buckets=16, relative_attention_max_distance=40),
        transformer=blocks(12, 5, (2, 6, 4), 1, 2, 20, 30, in_channels=12),
        vae=image((16, 24, 24), 1, 8, latent_channels=3, scaling_factor=0.5, shift_factor=-0.25),
        scheduler=CONFIGURATIONS["static-3"],
        tokenizers="minimal",
        requests={
            "wide": request("la forêt est calme, 2048 apples", 56, 40, 5, 4.0, [6]),
            "rounded": request("pixel art", 36, 28, 2, 2.0, [10], max_sequence_length=9),
        },
    ),
    # Rows of 32 values and more, for files in other formats.
    "quantizable": dict(
        clip=clip(32, 1, 2),
        t5=t5(32, 2, 2, 16, 64),
        transformer=blocks(16, 2, (4, 6, 6), 1, 2, 32, 32),
        vae=image((8, 8, 8, 16), 1, 4),
        scheduler=CONFIGURATIONS["dev"],
        tokenizers="published",
        requests={"square": request("three boats rest in the harbour", 48, 48, 3, 3.5, [11])},
    ),
    # Heads, axes and groups of the published models, so that files without configurations open; rows of 256 values.
    "real-heads": dict(
        clip=clip(256, 1, 4),
        t5=t5(256, 1, 4, 64, 512),
        transformer=blocks(128, 2, (16, 56, 56), 1, 2, 256, 256),
        vae=image((32, 32, 32, 32), 1, 32),
        scheduler=CONFIGURATIONS["dev"],
        tokenizers="published",
        requests={"wide": request("a small robot waters the flowers", 64, 48, 2, 3.5, [13])},
    ),
}
