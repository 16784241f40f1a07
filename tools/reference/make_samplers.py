"""diffusers' samplers on a model of one line: where they lead from eight numbers.

The model is f(x, t) = 0.3 x + 0.1 sin(x + 0.001 t), element by element in float32: x is the scaled input, t the timestep
that the scheduler hands to models. Noise that steps draw comes from NOISES in turn. Levels are those of the state in which
the picture's factor is 1, also for schedulers that keep the variance; `start_factor` and `end_factor` lead there and back.
"""

import numpy as np
import torch
from diffusers import (
    DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, HeunDiscreteScheduler, LCMScheduler, PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import (
    scheduling_euler_ancestral_discrete, scheduling_flow_match_euler_discrete, scheduling_lcm,
)

from common import FIXTURES, write_json

START = [1.25, -0.5, 0.75, -1.5, 0.125, 2.0, -2.25, 0.375]
NOISES = np.random.default_rng(5).integers(-96, 96, (30, 8)) / 64
STEPS = (1, 2, 4, 20, 30)
STABLE_DIFFUSION = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
LEADING = dict(STABLE_DIFFUSION, timestep_spacing="leading", steps_offset=1)
FLOW = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
# Name, sampler, scheduler, whether its state keeps the variance.
CASES = [
    ("euler leading", "euler", lambda: EulerDiscreteScheduler(**LEADING), False),
    ("euler trailing", "euler", lambda: EulerDiscreteScheduler(**STABLE_DIFFUSION, timestep_spacing="trailing"), False),
    ("euler karras", "euler", lambda: EulerDiscreteScheduler(**LEADING, use_karras_sigmas=True), False),
    ("euler velocity", "euler", lambda: EulerDiscreteScheduler(**LEADING, prediction_type="v_prediction"), False),
    ("euler zero terminal SNR", "euler", lambda: EulerDiscreteScheduler(
        **STABLE_DIFFUSION, timestep_spacing="trailing", prediction_type="v_prediction", rescale_betas_zero_snr=True), False),
    ("euler_a leading", "euler_a", lambda: EulerAncestralDiscreteScheduler(**LEADING), False),
    ("heun leading", "heun", lambda: HeunDiscreteScheduler(**LEADING), False),
    ("ddim leading", "ddim", lambda: DDIMScheduler(**LEADING, clip_sample=False, set_alpha_to_one=False), True),
    ("pndm leading", "pndm", lambda: PNDMScheduler(**LEADING, skip_prk_steps=True, set_alpha_to_one=False), True),
    ("dpmpp_2m linspace", "dpmpp_2m", lambda: DPMSolverMultistepScheduler(**STABLE_DIFFUSION), True),
    ("dpmpp_2m karras", "dpmpp_2m", lambda: DPMSolverMultistepScheduler(**STABLE_DIFFUSION, use_karras_sigmas=True), True),
    ("unipc linspace", "unipc", lambda: UniPCMultistepScheduler(**STABLE_DIFFUSION), True),
    ("lcm", "lcm", lambda: LCMScheduler(**STABLE_DIFFUSION), True),
    ("flow euler", "euler", lambda: FlowMatchEulerDiscreteScheduler(shift=3.0), False),
    ("flow lcm", "lcm", lambda: FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True), False),
    ("flow heun", "heun", lambda: FlowMatchHeunDiscreteScheduler(shift=3.0), False),
    ("flow dpmpp_2m", "dpmpp_2m", lambda: DPMSolverMultistepScheduler(**FLOW), False),
    ("flow unipc", "unipc", lambda: UniPCMultistepScheduler(**FLOW), False),
]


def toy(x: torch.Tensor, t: float) -> torch.Tensor:
    return 0.3 * x + 0.1 * torch.sin(x + 0.001 * t)


def distinct(values: torch.Tensor) -> list[float]:
    """Without repetitions of neighbours: samplers of second order name a level twice."""
    result: list[float] = []
    for value in values.tolist():
        if not result or value != result[-1]:
            result.append(value)
    return result


def levels(scheduler, timesteps: list[float]) -> list[float]:
    """Noise levels of a scheduler that is ready, the last one among them."""
    if hasattr(scheduler, "sigmas"):
        return distinct(scheduler.sigmas)
    products = scheduler.alphas_cumprod.double()
    found = [float(((1 - products[int(t)]) / products[int(t)]) ** 0.5) for t in timesteps]
    # DDIM and PNDM end at the first level, LCM at 0.
    last = 0.0 if isinstance(scheduler, LCMScheduler) else float(((1 - products[0]) / products[0]) ** 0.5)
    return found + [last]


def run(name: str, sampler: str, make, keeps_variance: bool, steps: int) -> dict:
    """One run."""
    scheduler = make()
    scheduler.set_timesteps(steps)
    noises = iter(torch.tensor(NOISES, dtype=torch.float32).reshape(-1, 1, 1, 8))
    for module in (scheduling_euler_ancestral_discrete, scheduling_flow_match_euler_discrete, scheduling_lcm):
        module.randn_tensor = lambda *arguments, **options: next(noises)
    timesteps = distinct(scheduler.timesteps.float())
    sigmas = levels(scheduler, timesteps)
    factor = 1.0 if name.startswith("flow") else float(scheduler.init_noise_sigma)
    x = torch.tensor(START).reshape(1, 1, 8) * factor
    for t in scheduler.timesteps:
        scaled = x if name.startswith("flow") else scheduler.scale_model_input(x, t)
        x = scheduler.step(toy(scaled, float(t)), t, x).prev_sample
    return {
        "name": name, "sampler": sampler, "steps": steps, "mixture": "flow" if name.startswith("flow") else "variance",
        "prediction": "velocity" if "velocity" in name or "SNR" in name else "noise",
        "start_factor": (1 + sigmas[0] ** 2) ** 0.5 if keeps_variance else factor,
        "end_factor": (1 + sigmas[-1] ** 2) ** -0.5 if keeps_variance else 1.0,
        "sigmas": sigmas, "timesteps": timesteps, "result": x.flatten().tolist(),
    }


def main() -> None:
    rows = [run(*case, steps) for case in CASES for steps in STEPS if not ("karras" in case[0] and steps == 1)]
    write_json(FIXTURES / "samplers" / "samplers.json", {
        "start": START, "noises": NOISES.tolist(), "rows": rows})


if __name__ == "__main__":
    main()
