"""Levels, times and results of scheduler configurations as models' folders have them, called as pipelines call them.

A pipeline of the kind "even" hands its scheduler a number of steps (AuraFlow); one of the kind "linear" levels from 1 to
1 / steps and the exponent of a shift (FLUX.1). The model and its noise are those of make_samplers.py.
"""

import diffusers
import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.schedulers import scheduling_flow_match_euler_discrete, scheduling_flow_match_lcm

from common import FIXTURES, write_json
from make_flux_schedule import DYNAMIC
from make_samplers import NOISES, START, distinct, toy

FLOW = dict(use_flow_sigmas=True, prediction_type="flow_prediction")
TOKENS = 2624  # Of the picture, where the shift depends on its size.
MU = calculate_shift(TOKENS, 256, 4096, 0.5, 1.15)
STEPS = (1, 2, 4, 17, 20, 28)
# Name, class, options, kinds of pipelines.
CASES = [
    ("euler", "FlowMatchEulerDiscreteScheduler", dict(shift=1.73), ("even", "linear")),
    ("euler karras", "FlowMatchEulerDiscreteScheduler", dict(shift=3.0, use_karras_sigmas=True), ("even", "linear")),
    ("euler exponential", "FlowMatchEulerDiscreteScheduler", dict(shift=3.0, use_exponential_sigmas=True), ("even", "linear")),
    ("euler beta", "FlowMatchEulerDiscreteScheduler", dict(shift=3.0, use_beta_sigmas=True), ("even", "linear")),
    ("euler terminal", "FlowMatchEulerDiscreteScheduler", dict(shift=3.0, shift_terminal=0.02), ("even", "linear")),
    ("euler terminal karras", "FlowMatchEulerDiscreteScheduler",
     dict(shift=3.0, shift_terminal=0.1, use_karras_sigmas=True), ("even", "linear")),
    ("euler stochastic", "FlowMatchEulerDiscreteScheduler", dict(shift=3.0, stochastic_sampling=True), ("even", "linear")),
    ("euler linear shift", "FlowMatchEulerDiscreteScheduler", DYNAMIC | dict(time_shift_type="linear"), ("linear",)),
    ("lcm", "FlowMatchLCMScheduler", dict(shift=2.0), ("even", "linear")),
    ("lcm beta", "FlowMatchLCMScheduler", dict(shift=2.0, use_beta_sigmas=True), ("even",)),
    ("heun", "FlowMatchHeunDiscreteScheduler", dict(shift=3.0), ("even",)),
    ("unipc", "UniPCMultistepScheduler", FLOW | dict(flow_shift=3.0), ("even", "linear")),
    ("unipc plain", "UniPCMultistepScheduler", FLOW, ("even",)),
    ("unipc terminal", "UniPCMultistepScheduler", FLOW | dict(flow_shift=2.0, shift_terminal=0.05), ("even",)),
    ("dpmpp_2m", "DPMSolverMultistepScheduler", FLOW | dict(flow_shift=3.0), ("even",)),
    ("dpmpp_2m plain", "DPMSolverMultistepScheduler", FLOW | dict(flow_shift=1.0, euler_at_final=True), ("even",)),
]


def run(name: str, kind: str, options: dict, pipeline: str, steps: int) -> dict:
    """One run."""
    scheduler = getattr(diffusers, kind)(**options)
    if pipeline == "even" or options.get("use_flow_sigmas"):
        scheduler.set_timesteps(steps)
    else:
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=MU)
    noises = iter(torch.tensor(NOISES, dtype=torch.float32).reshape(-1, 1, 1, 8))
    for module in (scheduling_flow_match_euler_discrete, scheduling_flow_match_lcm):
        module.randn_tensor = lambda *arguments, **options: next(noises)
    x = torch.tensor(START).reshape(1, 1, 8)
    for t in scheduler.timesteps:
        x = scheduler.step(toy(x, float(t)), t, x).prev_sample
    return {
        "name": name, "pipeline": pipeline, "steps": steps,
        # Whole timesteps may repeat.
        "sigmas": distinct(scheduler.sigmas),
        "timesteps": scheduler.timesteps.float().tolist() if kind != "FlowMatchHeunDiscreteScheduler"
        else distinct(scheduler.timesteps.float()),
        "result": x.flatten().tolist(),
    }


def main() -> None:
    rows = [
        run(name, kind, options, pipeline, steps)
        for name, kind, options, pipelines in CASES for pipeline in pipelines for steps in STEPS
        # One level of 1 has no terminal value.
        if not ("terminal" in name and steps == 1)
    ]
    configurations = {
        name: {"_class_name": kind} | {key: value for key, value in getattr(diffusers, kind)(**options).config.items()
                                       # Minus infinity is no JSON.
                                       if not key.startswith("_") and key != "lambda_min_clipped"}
        for name, kind, options, _ in CASES
    }
    write_json(FIXTURES / "model-schedulers" / "runs.json", {
        "tokens": TOKENS, "configurations": configurations, "rows": rows})


if __name__ == "__main__":
    main()
