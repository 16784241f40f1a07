"""Schedules of FlowMatchEulerDiscreteScheduler, called as AuraFlowPipeline calls it, as float32 bit patterns."""

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.aura_flow.pipeline_aura_flow import retrieve_timesteps

from common import FIXTURES, write_json_rows

SHIFTS = (1.73, 1.0, 3.0)
STEPS = (1, 2, 3, 4, 5, 7, 20, 25, 28, 30, 50, 100)
CUSTOM_SIGMAS = (
    [1.0, 0.75, 0.5, 0.25],
    [1.0, 0.9, 0.35, 0.1, 0.02],
    [0.987654321, 0.5, 0.123456789],
    [0.6],
)


def bits(tensor: torch.Tensor) -> list[int]:
    """The float32 bit patterns."""
    return [value & 0xFFFFFFFF for value in tensor.to(torch.float32).view(torch.int32).tolist()]


def row(shift: float, steps: int | None, sigmas: list[float] | None) -> dict:
    """One schedule and what was asked for."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    retrieve_timesteps(scheduler, steps, "cpu", sigmas=sigmas)
    return {
        "shift": shift,
        "steps": len(scheduler.timesteps),
        "custom_sigmas": sigmas,
        "sigmas": bits(scheduler.sigmas),
        "timesteps": bits(scheduler.timesteps),
    }


def main() -> None:
    rows = [row(shift, steps, None) for shift in SHIFTS for steps in STEPS]
    rows += [row(shift, None, sigmas) for shift in SHIFTS for sigmas in CUSTOM_SIGMAS]
    write_json_rows(FIXTURES / "scheduler" / "sigmas.json", rows)


if __name__ == "__main__":
    main()
