#!/usr/bin/env python3
"""Measures a step of several prompts that go through it together, with weights that are read again at each step, beside
a step of one prompt with everything resident.

    swift build -c release --product auraflow
    python tools/benchmarks/many_prompts.py --model /tmp/models/auraflow-v0.3-q4_K.gguf     # about 15 minutes a round

Runs of both kinds take turns; the second step counts. Goal: at most 1.02 times as long for each prompt. With --cold the
file is not in the page cache before each run, and what the second step reads from the disk is counted, beside that of
one prompt alone within the same memory. Prints Markdown.
"""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile

import common
import memory

PROMPTS = [
    "a lighthouse on a cliff at dawn", "an old fisherman with a gray beard", "three glass bottles on a wooden table",
    "a fox asleep in autumn leaves", "a narrow street in the rain at night", "a painted sign above a bakery's door",
    "a small workshop full of tools", "a snowy mountain valley seen from a bridge",
]


def second_step(options, prompts: list[str], budget: str, cold: bool, folder: str) -> tuple[float, int, int]:
    """Seconds of the second step, bytes that it read from the disk, and the peak of resident memory."""
    path = pathlib.Path(folder) / "prompts.txt"
    path.write_text("\n".join(prompts) + "\n")
    if cold:
        with open(options.model, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [
        options.program, "generate", "-m", options.model, "-f", str(path), "-W", str(options.size), "-H",
        str(options.size), "--steps", "50", "--memory", budget, "--threads", str(options.threads), "--force", "-v",
        "--keep-every", "0", "-o", f"{folder}/a.png"]
    seconds, read, peak = [], [], 0
    with memory.Limit(memory.byte_count(budget)) as limit:
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit.enter)
        for line in child.stderr:
            if line.startswith(("error", "note")):
                print(f"({line.strip()})", flush=True)
            if found := re.match(r"(?:pictures? [-\d,/]+: )?step (\d+)/.*, ([0-9.]+) s", line):
                seconds.append(float(found.group(2)))
                read.append(memory.status(child.pid, "io", "read_bytes"))
                peak = memory.status(child.pid, "status", "VmHWM") << 10
                if found.group(1) == "2":
                    child.send_signal(signal.SIGINT)
        child.wait()
    return seconds[1], read[1] - read[0], peak


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--model", required=True, help="a file with all parts")
    parser.add_argument("--size", type=int, default=512, help="width of the pictures")
    parser.add_argument("--budget", default="2GiB", help="--memory of the prompts that go together")
    parser.add_argument("--count", type=int, default=len(PROMPTS), help="prompts that go together, up to 8")
    parser.add_argument("--cold", action="store_true", help="begin without the file in the page cache")
    options = parser.parse_args()
    common.print_head(options, {})
    prompts = PROMPTS[: options.count]
    runs = {"together": [], "alone": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            alone = options.budget if options.cold else "max"
            runs["alone"].append(second_step(options, prompts[:1], alone, options.cold, folder))
            runs["together"].append(second_step(options, prompts, options.budget, options.cold, folder))
    common.print_columns("run:", "seconds per step", "for each prompt", "MiB read in a step", "peak MiB")
    for name, count in [("alone", 1), ("together", len(prompts))]:
        seconds = statistics.median(run[0] for run in runs[name])
        common.print_row(
            f"{count} {name}", f"{seconds:.1f}", f"{seconds / count:.2f}",
            memory.mebibytes(statistics.median(run[1] for run in runs[name])),
            memory.mebibytes(max(run[2] for run in runs[name])))
    ratio = statistics.median(
        together[0] / (len(prompts) * alone[0]) for together, alone in zip(runs["together"], runs["alone"]))
    print(f"\nA prompt's share of a step together, to its step alone: {ratio:.3f}")


if __name__ == "__main__":
    main()
