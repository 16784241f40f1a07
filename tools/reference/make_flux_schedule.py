"""Schedules of FlowMatchEulerDiscreteScheduler, called as FluxPipeline calls it, as float32 bit patterns."""

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps

from common import FIXTURES, write_json, write_json_rows
from make_scheduler import bits

DYNAMIC = dict(
    base_image_seq_len=256, base_shift=0.5, max_image_seq_len=4096, max_shift=1.15, use_dynamic_shifting=True
)

# The scheduler's configuration as files carry it.
CONFIGURATIONS = {
    # FLUX.1-dev; with dynamic shifting nothing comes of `shift`.
    "dev": dict(num_train_timesteps=1000, shift=3.0, **DYNAMIC),
    "schnell": dict(num_train_timesteps=1000, shift=1.0, **DYNAMIC | {"use_dynamic_shifting": False}),
    # What fine-tunes carry.
    "static-3": dict(num_train_timesteps=1000, shift=3.0),
    "static-1.15": dict(num_train_timesteps=1000, shift=1.15, use_dynamic_shifting=False),
    "dynamic-defaults": dict(use_dynamic_shifting=True),
    "dynamic-wide": dict(shift=1.0, **DYNAMIC | {"base_shift": 0.3, "max_shift": 2.02, "max_image_seq_len": 8192}),
    "dynamic-constant": dict(shift=3.0, **DYNAMIC | {"base_shift": 1.0, "max_shift": 1.0}),
    "dynamic-linear": dict(shift=3.0, time_shift_type="linear", **DYNAMIC),
    "dynamic-terminal": dict(shift=3.0, shift_terminal=0.02, **DYNAMIC),
}
STEPS = (1, 2, 4, 20, 28, 50)
# (width, height) in pixels
SQUARES = [(side, side) for side in (256, 384, 512, 640, 768, 1024, 1280, 1536)]
OTHERS = [(512, 768), (1216, 832), (768, 1344), (2048, 2048), (16, 16), (64, 96), (104, 88), (1000, 1000)]
CUSTOM_SIGMAS = ([1.0, 0.75, 0.5, 0.25], [1.0, 0.9, 0.35, 0.1, 0.02], [0.6])


def row(name: str, width: int, height: int, steps: int | None, sigmas: list[float] | None) -> dict:
    """One schedule and what was asked for. `mu` is a float64, null where the shift is static."""
    scheduler = FlowMatchEulerDiscreteScheduler(**CONFIGURATIONS[name])
    length = (height // 16) * (width // 16)
    config = scheduler.config
    mu = calculate_shift(
        length,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    asked = np.linspace(1.0, 1 / steps, steps) if sigmas is None else sigmas
    retrieve_timesteps(scheduler, steps, "cpu", sigmas=asked, mu=mu)
    return {
        "configuration": name,
        "width": width,
        "height": height,
        "tokens": length,
        "mu": mu if config.use_dynamic_shifting else None,
        "steps": len(scheduler.timesteps),
        "custom_sigmas": sigmas,
        "sigmas": bits(scheduler.sigmas),
        "timesteps": bits(scheduler.timesteps),
    }


def rows() -> list[dict]:
    """Every size with few steps and few sizes with every number of steps."""
    result = []
    for width, height in SQUARES + OTHERS:
        steps = STEPS if (width, height) in ((256, 256), (1024, 1024), (64, 96)) else (4, 20)
        result += [row("dev", width, height, count, None) for count in steps]
    result += [row("schnell", side, side, count, None) for side in (512, 1024) for count in STEPS]
    for name in list(CONFIGURATIONS)[2:]:
        # A terminal value cannot be reached from one sigma of 1.
        steps = (4, 28) if "shift_terminal" in CONFIGURATIONS[name] else (1, 4, 28)
        result += [row(name, *size, count, None) for size in ((512, 768), (1024, 1024)) for count in steps]
    for sigmas in CUSTOM_SIGMAS:
        result += [row(name, 512, 768, None, sigmas) for name in ("dev", "schnell", "static-3")]
    return result


def main() -> None:
    folder = FIXTURES / "flux-schedule"
    write_json(folder / "configurations.json", CONFIGURATIONS)
    write_json_rows(folder / "sigmas.json", rows())


if __name__ == "__main__":
    main()
