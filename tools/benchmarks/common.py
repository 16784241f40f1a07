"""What the comparisons share: running the program, timing, and the head of a report."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every comparison has."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--program", default=str(ROOT / ".build/release/auraflow"), help="the built program")
    result.add_argument("--kernels", choices=["portable", "avx2", "avxvnni", "avx512"], help="kernels to force")
    result.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of both sides")
    result.add_argument("--rounds", type=int, default=3, help="measurements of each side, taken in turns")
    return result


class Program:
    """Runs `auraflow bench`."""

    def __init__(self, options: argparse.Namespace):
        self.path = options.program
        self.threads = options.threads
        self.environment = dict(os.environ)
        self.environment.pop("AURAFLOW_KERNELS", None)
        if options.kernels:
            self.environment["AURAFLOW_KERNELS"] = options.kernels

    def bench(self, *arguments: str) -> dict:
        """The only result of one benchmark."""
        command = [self.path, "bench", *arguments, "--threads", str(self.threads), "--json"]
        run = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{shlex.join(command)}: status {run.returncode}\n{run.stderr}")
        [result] = json.loads(run.stdout)["results"]
        return result


def seconds(body, repetitions: int) -> float:
    """The median time of some calls after one that does not count.

    Threads of OpenMP go on spinning for a while; the other side's turn must not begin before.
    """
    body()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    time.sleep(0.3)
    return statistics.median(times)


def middle(results: list[dict]) -> dict:
    """The result with the median time (the faster of two)."""
    return sorted(results, key=lambda result: result["seconds"])[(len(results) - 1) // 2]


def print_head(options: argparse.Namespace, versions: dict[str, str]):
    """Says what was measured with what."""
    cpu = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        cpu.setdefault(name.strip(), value.strip())
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    known = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")
    flags = [flag for flag in known if flag in cpu.get("flags", "").split()]
    print(f"- CPU: {cpu.get('model name', platform.processor())} (family {cpu.get('cpu family')}, "
          f"model {cpu.get('model')}; {', '.join(flags)}), {options.threads} threads")
    print(f"- Date: {datetime.date.today().isoformat()}, revision {revision}")
    print("- Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"- Kernels: {options.kernels or 'as the program picks'}")
    print(f"- Command: `python {shlex.join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])}`\n", flush=True)


def print_row(*cells):
    """One line of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_columns(*names: str):
    """The first two lines of a Markdown table; names that end in ':' are left-aligned."""
    print_row(*(name.rstrip(":") for name in names))
    print("|" + "|".join("---" if name.endswith(":") else "---:" for name in names) + "|", flush=True)
