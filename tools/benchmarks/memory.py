#!/usr/bin/env python3
"""Measures peak memory, speed and reading of a full-size model under real memory limits.

    swift build -c release --product auraflow
    python tools/benchmarks/memory.py --folder /tmp/models                 # Q4_K, about 30 minutes
    python tools/benchmarks/memory.py --folder /tmp/models --types q4_K --sizes 512 --budgets 1GiB,2GiB,max
    python tools/benchmarks/memory.py --folder /tmp/models --preset flux-schnell --schedule 4 --budgets max,1.5GiB

Makes the models with `auraflow synthesize` where they are missing (4.8 GB for q4_K). Each run is put into a control
group whose limit is its budget, if this user may make one (root, version 1 or 2), and is stopped after --steps of a
schedule of --schedule steps: what a schedule needs in memory does not depend on how far it gets. A second run of as many steps goes
on to the picture. `cold` runs begin without the file in the page cache. Prints Markdown.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time

import common

UNITS = {"KiB": 10, "MiB": 20, "GiB": 30}


def byte_count(text: str) -> int | None:
    """`2GiB` in bytes; None for max."""
    return None if text == "max" else int(float(text[:-3]) * 2 ** UNITS[text[-3:]])


class Limit:
    """A control group with a memory limit, as long as the context lasts."""

    def __init__(self, limit: int | None):
        self.limit = limit
        self.folder = None

    def __enter__(self):
        if self.limit is None:
            return self
        first = pathlib.Path("/sys/fs/cgroup/memory")
        root, name = (first, "memory.limit_in_bytes") if first.is_dir() else (first.parent, "memory.max")
        folder = root / f"auraflow-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / name).write_text(str(self.limit))
            self.folder = folder
        except OSError as error:
            print(f"(no control group: {error})")
        return self

    def __exit__(self, *_):
        if self.folder:
            for _ in range(50):
                try:
                    self.folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)

    def enter(self):
        """Called in the child before it runs the program."""
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))


def status(pid: int, file: str, key: str) -> int:
    """A number of a line `key: 123` of a process."""
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return int(re.search(rf"^{key}:\s*(\d+)", text, re.MULTILINE).group(1))


def generate(options, model: str, size: int, budget: str, steps: int, stop: int | None, cold: bool, out: str) -> dict:
    """Runs the program; with `stop`, interrupts it after so many steps."""
    if cold:
        with open(model, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [
        options.program, "generate", "-m", model, "-p", options.prompt, "-W", str(size), "-H", str(size), "--steps",
        str(steps), "--memory", budget, "--threads", str(options.threads), "--io", options.io, "--force", "--verbose",
        "--json", "-o", out]
    result = {"steps": [], "read": []}
    with Limit(byte_count(budget)) as limit:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit.enter)
        for line in child.stderr:
            if not (found := re.match(r"step (\d+)/.*, ([0-9.]+) s", line)):
                if line.startswith("error"):
                    result["error"] = line.strip()
                continue
            result["steps"].append(float(found.group(2)))
            result["peak"] = status(child.pid, "status", "VmHWM") << 10
            result["read"].append(status(child.pid, "io", "read_bytes"))
            if stop and int(found.group(1)) >= stop:
                child.send_signal(signal.SIGINT)
        output = child.stdout.read()
        result["code"] = child.wait()
    if result["code"] == 0:
        report = json.loads(output)
        result["peak"] = report["peakResidentBytes"]
        result["decoder"] = report["seconds"]["decoder"]
    return result


def mebibytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 2**20:.0f}"


def print_result(kind: str, size: int, budget: str, cache: str, runs: list[dict], whole: dict | None):
    """Prints one line of the table: median times of some rounds, highest peaks."""
    errors = [run["error"] for run in runs if "error" in run and run["code"] != 130]
    if errors:
        common.print_row(kind, size, budget, cache, "-", "-", "-", "-", errors[0][:90])
        return
    # The first step also makes what is kept for the others.
    later = [second for run in runs for second in run["steps"][1:] or run["steps"]]
    reads = [run["read"][-1] - run["read"][-2] for run in runs if len(run["read"]) > 1]
    common.print_row(
        kind, size, budget, cache, mebibytes(max(run["peak"] for run in runs)),
        mebibytes(whole["peak"]) if whole and "peak" in whole else "-",
        f"{statistics.median(later):.1f}", mebibytes(statistics.median(reads) if reads else None),
        f"decoder {whole['decoder']:.0f} s" if whole and "decoder" in whole else (whole or {}).get("error", ""))


def measure(options, model: str, kind: str, out: str):
    """Runs every combination of size, budget and cache. Rounds are outermost, so that what changes on the machine
    meanwhile meets all of them."""
    combinations = [
        (size, budget, cache) for size in map(int, options.sizes.split(",")) for budget in options.budgets.split(",")
        for cache in options.caches.split(",") if budget != "max" or cache == "warm"]
    runs = {combination: [] for combination in combinations}
    for _ in range(options.rounds):
        for size, budget, cache in combinations:
            runs[size, budget, cache].append(
                generate(
                    options, model, size, budget, options.schedule, options.steps, cache == "cold", out))
    for size, budget, cache in combinations:
        wants_picture = options.picture and cache == "warm"
        whole = generate(options, model, size, budget, options.steps, None, False, out) if wants_picture else None
        print_result(kind, size, budget, cache, runs[size, budget, cache], whole)


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--folder", required=True, help="where the models are, or are made")
    parser.add_argument("--preset", default="auraflow-v0.3", help="the model's sizes, see synthesize --help")
    parser.add_argument("--schedule", type=int, default=50, help="steps of the schedule")
    parser.add_argument("--types", default="q4_K", help="types of weights")
    parser.add_argument("--sizes", default="512,1024", help="widths of the pictures")
    parser.add_argument("--budgets", default="max,2GiB,1GiB", help="values of --memory")
    parser.add_argument("--caches", default="warm", help="warm,cold")
    parser.add_argument("--steps", type=int, default=2, help="steps that are run")
    parser.add_argument(
        "--picture", action=argparse.BooleanOptionalAction, default=True, help="a second run to the picture")
    parser.add_argument("--io", default="mmap", help="mmap or read")
    parser.add_argument("--prompt", default="a lighthouse on a cliff at dawn, waves breaking on the rocks below")
    options = parser.parse_args()
    common.print_head(options, {})
    common.print_columns(
        "type:", "size", "--memory:", "cache:", f"peak MiB, {options.schedule}-step schedule", "peak MiB, to the picture",
        "seconds per step", "MiB read from disk in the last step", "note:")
    for kind in options.types.split(","):
        model = str(pathlib.Path(options.folder) / f"{options.preset}-{kind}.gguf")
        if not os.path.exists(model):
            os.makedirs(options.folder, exist_ok=True)
            subprocess.run(
                [options.program, "synthesize", "--preset", options.preset, "--type", kind, model], check=True)
        with tempfile.TemporaryDirectory() as folder:
            measure(options, model, kind, f"{folder}/a.png")


if __name__ == "__main__":
    main()
