"""A training loop that can be stopped at any moment and goes on as if it had not been.

All randomness of a step comes from a generator seeded with (seed, step), so there is no random state to keep, and
the learning rate depends on the step alone: a run that was stopped or paused gives the losses of an unbroken one.
"""

import json
import math
import os
import pathlib
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from optimizer import MuonAdamW, split


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. Rates rise over `warmup` steps and fall along a cosine to `floor` of them.

    `matrix_rate` is Muon's for matrices, `rate` AdamW's for all other parameters.
    """

    steps: int
    matrix_rate: float
    rate: float
    warmup: int = 200
    floor: float = 0.02
    weight_decay: float = 0.0
    ema_decay: float = 0.999
    gradient_limit: float = 1.0
    log_every: int = 50

    def factor(self, step: int) -> float:
        """The part of the learning rate that step `step` (from 0) uses."""
        progress = step / max(1, self.steps)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return min(1.0, (step + 1) / max(1, self.warmup)) * (self.floor + (1 - self.floor) * cosine)


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator(device).manual_seed((seed << 40) + step)


class Loop:
    """Trains a module, keeps its moving average, writes checkpoints and a log.

    `ends` are the module's parts that read its input or write its output; `bfloat16`: see MuonAdamW. `folder`
    gets NAME.pt (weights, average, optimizer, step) and NAME.jsonl (one row per `log_every` steps of the schedule).
    """

    def __init__(
        self, module: torch.nn.Module, schedule: Schedule, folder: pathlib.Path, name: str, seed: int,
        ends: tuple[torch.nn.Module, ...] = (), bfloat16: bool = False,
    ):
        self.module, self.schedule, self.seed, self.bfloat16 = module, schedule, seed, bfloat16
        self.device = next(module.parameters()).device
        self.checkpoint, self.log = folder / f"{name}.pt", folder / f"{name}.jsonl"
        matrices, others = split(module, ends)
        self.parameters = matrices + others
        self.optimizer = MuonAdamW(
            matrices, others, schedule.matrix_rate, schedule.rate, schedule.weight_decay, bfloat16
        )
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.step, self.active_seconds, self.stop_signal = 0, 0.0, None
        self._sums: dict[str, torch.Tensor] = {}  # Of numbers since the last row of the log.
        if self.checkpoint.exists():
            self._resume()
        else:
            self.log.unlink(missing_ok=True)  # Of an earlier run.

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        try:
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise SystemExit(f"{self.checkpoint}: of another model; remove it to train anew ({error})") from None
        if state.get("bfloat16", self.bfloat16) != self.bfloat16:
            found = "bfloat16" if state["bfloat16"] else "float32"
            raise SystemExit(f"{self.checkpoint}: began in {found}; go on with --precision {found}")
        self.average = [value.to(self.device) for value in state["average"]]
        self.step, self.active_seconds, self._sums = state["step"], state["active_seconds"], state["sums"]
        # Rows after the checkpoint will be written again.
        rows = self.log.read_text().splitlines() if self.log.exists() else []
        kept = [row for row in rows if json.loads(row)["step"] <= self.step]
        replace_atomically(self.log, lambda path: path.write_text("".join(row + "\n" for row in kept)))
        print(f"{self.checkpoint.name}: goes on at step {self.step} of {self.schedule.steps}", flush=True)

    def save(self) -> None:
        """Writes the checkpoint; a crash in between leaves the one before."""
        state = {
            "module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average,
            "step": self.step, "active_seconds": self.active_seconds, "sums": self._sums, "bfloat16": self.bfloat16,
        }
        replace_atomically(self.checkpoint, lambda path: torch.save(state, path))

    def use_average(self) -> None:
        """Replaces the weights with their moving average, after training."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.average):
                parameter.copy_(value)

    def run(
        self,
        loss_of_step: Callable[[int, torch.Generator], tuple[torch.Tensor, dict[str, torch.Tensor]]],
        save_every_seconds: float = 120,
        stop_after: int | None = None,
    ) -> None:
        """Runs the remaining steps. `loss_of_step` gives the loss and numbers to log.

        SIGINT and SIGTERM save and end the program; `stop_after` steps in this call do so too (for tests).
        """
        previous = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        last_step = self.schedule.steps if stop_after is None else min(self.schedule.steps, self.step + stop_after)
        durations, since_save = [], time.monotonic()
        while self.step < last_step and self.stop_signal is None:
            started = time.monotonic()
            numbers = self._train_step(loss_of_step)
            for key, value in numbers.items():
                self._sums[key] = self._sums.get(key, 0.0) + value
            if self.step % self.schedule.log_every == 0 or self.step == self.schedule.steps:
                self._write_row((self.step - 1) % self.schedule.log_every + 1)
            durations = (durations + [time.monotonic() - started])[-50:]
            # A pause of the whole program (SIGSTOP, suspend) is not work.
            self.active_seconds += min(durations[-1], 5 * statistics.median(durations))
            if time.monotonic() - since_save > save_every_seconds:
                self.save()
                since_save = time.monotonic()
        self.save()
        for number, handler in previous.items():
            signal.signal(number, handler)
        if self.stop_signal is not None:
            raise SystemExit(128 + self.stop_signal)

    def _remember(self, number: int, frame) -> None:
        self.stop_signal = number
        print(f"stopping after step {self.step + 1}, the same command goes on there", flush=True)

    def _train_step(self, loss_of_step) -> dict[str, torch.Tensor]:
        self.optimizer.set_factor(self.schedule.factor(self.step))
        loss, numbers = loss_of_step(self.step, step_generator(self.seed, self.step, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.gradient_limit)
        self.optimizer.step()
        self.step += 1
        # The average forgets the first, poor weights sooner.
        decay = min(self.schedule.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return {"loss": loss.detach(), "gradient_norm": norm.detach()} | numbers

    def _write_row(self, count: int) -> None:
        """Logs the means over the last `count` steps."""
        row = {"step": self.step} | {key: float(f"{float(value) / count:.6g}") for key, value in self._sums.items()}
        self._sums = {}
        row["rate_factor"] = float(f"{self.schedule.factor(self.step - 1):.4g}")
        row["active_seconds"] = round(self.active_seconds, 1)
        with self.log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def replace_atomically(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path` and renames it into place."""
    temporary = path.with_name(f"{path.name}.part")
    write(temporary)
    os.replace(temporary, path)
