"""All sizes and schedules, in one place: preset `cpu` (two cores, one to four hours) and `gpu` (one large GPU)."""

from dataclasses import dataclass

from loop import Schedule


@dataclass(frozen=True)
class AutoencoderSizes:
    """diffusers' AutoencoderKL. Channels grow where pixels are few: full resolution is what costs."""

    channels: tuple[int, ...] = (16, 32, 64, 128)
    layers: int = 1
    groups: int = 8
    latent_channels: int = 4


@dataclass(frozen=True)
class TransformerSizes:
    """diffusers' AuraFlowTransformer2DModel and transformers' UMT5EncoderModel.

    Every matrix's input width (heads * 64, the hidden width of feed-forwards, text_width, text_hidden) is a
    multiple of 256, so that all block formats of the runtime apply.
    """

    heads: int = 4
    joint_blocks: int = 2
    single_blocks: int = 4
    text_layers: int = 2
    text_hidden: int = 512
    text_width: int = 256
    vocabulary: int = 1024
    tokens: int = 16  # At least; longer captions make it more.


@dataclass(frozen=True)
class AutoencoderTraining:
    """First crops, which show more different pixels a second, then whole pictures."""

    schedule: Schedule
    crop: int
    crop_batch: int
    whole_batch: int
    whole_fraction: float
    kl_weight: float = 1e-5


@dataclass(frozen=True)
class TransformerTraining:
    """First the text encoder (`reading`), then the transformer: all of the way from noise to picture, and a refinement
    of its beginning.

    What a caption means for background and subject is decided while there is next to nothing but noise; of the normal
    distribution of logits, one sample in 250 has a sigma above 0.95.
    """

    reading: Schedule
    schedule: Schedule
    refinement: Schedule
    batch: int
    reading_batch: int = 128  # Captions of a step of the reading.
    caption_dropout: float = 0.1
    noise_mean: float = 0.3  # Of the logit of sigma: a little more noise than signal.
    early_fraction: float = 0.5  # In the refinement, this part of the samples
    early_sigma: float = 0.7  # has a sigma between this and 1.
    shift: float = 1.73  # Of the scheduler at inference.


@dataclass(frozen=True)
class AdapterTraining:
    """An adapter of the finished transformer; batches and noise are those of the transformer's own training."""

    schedule: Schedule
    rank: int = 8


@dataclass(frozen=True)
class Preset:
    autoencoder: AutoencoderSizes
    transformer: TransformerSizes
    autoencoder_training: AutoencoderTraining
    transformer_training: TransformerTraining
    adapter_training: AdapterTraining


CPU = Preset(
    AutoencoderSizes(),
    TransformerSizes(),
    AutoencoderTraining(
        Schedule(steps=6000, matrix_rate=0.02, rate=1.5e-3), crop=64, crop_batch=8, whole_batch=2, whole_fraction=0.3
    ),
    TransformerTraining(
        reading=Schedule(steps=1200, matrix_rate=0.005, rate=2e-3, ema_decay=0.99),
        schedule=Schedule(steps=5000, matrix_rate=0.02, rate=1e-3),
        refinement=Schedule(steps=600, matrix_rate=0.006, rate=3e-4, warmup=50),
        batch=32,
    ),
    AdapterTraining(Schedule(steps=400, matrix_rate=0.02, rate=5e-3, warmup=30, ema_decay=0.98)),
)

GPU = Preset(
    AutoencoderSizes(channels=(32, 64, 128, 192)),
    TransformerSizes(joint_blocks=4, single_blocks=8),
    AutoencoderTraining(
        Schedule(steps=12000, matrix_rate=0.02, rate=1.5e-3), crop=64, crop_batch=64, whole_batch=16,
        whole_fraction=0.3,
    ),
    TransformerTraining(
        reading=Schedule(steps=2000, matrix_rate=0.005, rate=2e-3, ema_decay=0.99),
        schedule=Schedule(steps=20000, matrix_rate=0.02, rate=1e-3, ema_decay=0.9995),
        refinement=Schedule(steps=4000, matrix_rate=0.006, rate=3e-4, ema_decay=0.9995),
        batch=256,
    ),
    AdapterTraining(Schedule(steps=400, matrix_rate=0.02, rate=5e-3, warmup=30, ema_decay=0.98)),
)

# Small enough to run every stage in a minute; learns nothing.
TOY = Preset(
    AutoencoderSizes(channels=(8, 8, 8, 16)),
    TransformerSizes(joint_blocks=1, single_blocks=1, text_layers=1, vocabulary=512),
    AutoencoderTraining(
        Schedule(steps=12, matrix_rate=0.02, rate=1.5e-3, warmup=2, log_every=4), crop=32, crop_batch=2, whole_batch=1,
        whole_fraction=0.3,
    ),
    TransformerTraining(
        reading=Schedule(steps=10, matrix_rate=0.02, rate=1e-3, warmup=2, log_every=4),
        schedule=Schedule(steps=12, matrix_rate=0.02, rate=1e-3, warmup=2, log_every=4),
        refinement=Schedule(steps=8, matrix_rate=0.006, rate=3e-4, warmup=2, log_every=4),
        batch=4,
    ),
    AdapterTraining(Schedule(steps=8, matrix_rate=0.02, rate=1e-3, warmup=2, log_every=4), rank=2),
)

PRESETS = {"cpu": CPU, "gpu": GPU, "toy": TOY}
