"""Breaks `auraflow convert --calibrate` and checks that its work goes on and ends in the same bytes.

    python tools/faults/calibration_faults.py --auraflow .build/release/auraflow --kills 50 --sizes 20

* The same file for 1, 2 and 5 threads and for several --memory.
* kill -9 at random moments of runs that follow each other, each going on where the one before was; after the kills that
  one makes, the file is what an undisturbed run makes. Nothing stands under the file's name before it is whole.
* A disk for file and work, of sizes from next to nothing to enough (tmpfs; needs the right to mount): one line and 73 or
  74 where it is too small, and the same file once it is made large enough.

The model is a tiny one of random weights, with the mechanism of all. Ends with 1 if anything was wrong.
"""

import argparse
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from convert_faults import digest, expect, faults, fresh, mounted

PROMPTS = ["a red cube on a blue table", "two cats, one asleep", "rain over a harbour at night", "an old map"]


class Campaign:
    """One input and the file that its calibration ends in."""

    def __init__(self, auraflow: str, work: pathlib.Path, preset: str, kind: str):
        self.auraflow = str(pathlib.Path(auraflow).resolve())
        self.work = work
        self.kind = kind
        self.input = work / f"{preset}.gguf"
        subprocess.run([self.auraflow, "synthesize", "--preset", preset, "--type", "f16", self.input], check=True,
                       stdout=subprocess.DEVNULL)
        self.prompts = work / "prompts.txt"
        self.prompts.write_text("\n".join(PROMPTS) + "\n")
        self.input_digest = digest(self.input)
        folder = fresh(work, "whole")
        start = time.monotonic()
        subprocess.run(self.command(folder / "out.gguf"), check=True, capture_output=True)
        self.seconds = time.monotonic() - start
        self.whole = digest(folder / "out.gguf")
        self.size = (folder / "out.gguf").stat().st_size
        expect([f.name for f in folder.iterdir()] == ["out.gguf"], "an undisturbed run left more than the file")

    def command(self, output: pathlib.Path, *more: str, threads: int = 2) -> list[str]:
        return [self.auraflow, "convert", str(self.input), str(output), "--type", self.kind, "--calibrate",
                str(self.prompts), "--calibrate-points", "4", "-t", str(threads), *more]

    def check_end(self, folder: pathlib.Path, what: str) -> None:
        """A run that is not disturbed ends in the file and nothing else."""
        result = subprocess.run(self.command(folder / "out.gguf"), capture_output=True, text=True)
        expect(result.returncode == 0, f"{what}: the last run said {result.stderr[-400:]!r}")
        names = sorted(f.name for f in folder.iterdir())
        expect(names == ["out.gguf"], f"{what}: the last run left {names}")
        if "out.gguf" in names:
            expect(digest(folder / "out.gguf") == self.whole, f"{what}: the bytes differ")


def same_bytes(campaign: Campaign) -> None:
    """Threads and memory change nothing."""
    for threads in (1, 2, 5):
        for memory in ("200MiB", "1GiB", "max"):
            output = fresh(campaign.work, "same") / "out.gguf"
            result = subprocess.run(campaign.command(output, "--memory", memory, threads=threads), capture_output=True,
                                    text=True)
            what = f"{threads} threads, --memory {memory}"
            expect(result.returncode == 0, f"{what}: {result.stderr[-400:]!r}")
            expect(result.returncode != 0 or digest(output) == campaign.whole, f"{what}: the bytes differ")
    print("the same bytes for 1, 2 and 5 threads and three --memory", flush=True)


def kill_at_random(campaign: Campaign, kills: int) -> None:
    """SIGKILL at random moments of runs that go on where the one before was."""
    generator = random.Random(1)
    folder, series, done = fresh(campaign.work, "kill"), 1, 0
    for number in range(kills):
        process = subprocess.Popen(campaign.command(folder / "out.gguf"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0, campaign.seconds))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        expect(digest(campaign.input) == campaign.input_digest, f"kill {number}: the input changed")
        output = folder / "out.gguf"
        expect(not output.exists() or digest(output) == campaign.whole, f"kill {number}: half a file")
        if code == 0 or output.exists() or number % 5 == 4 or number == kills - 1:
            if output.exists():
                done += 1
                # What a kill after the last rename leaves, the next run with this name takes away.
                output.unlink()
            campaign.check_end(folder, f"kill {number}")
            folder, series = fresh(campaign.work, "kill"), series + 1
    print(f"kill -9 at {kills} random moments, in {series - 1} files: {done} were whole by then", flush=True)


def full_disks(campaign: Campaign, sizes: int) -> None:
    """A disk of each size; then it grows, and the work goes on."""
    small = campaign.work / "small"
    if not mounted(["-t", "tmpfs", "-o", "size=1m", "tmpfs"], small):
        print("full disks: skipped, mounting is not permitted")
        return
    subprocess.run(["umount", str(small)], check=True)
    successes = 0
    for number in range(sizes):
        size = int(4096 + (campaign.size * 12 - 4096) * number / (sizes - 1))
        what = f"disk of {size} bytes"
        mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], small)
        command = campaign.command(small / "out.gguf")
        if number % 2 and shutil.which("strace"):
            # The disk is filled behind the back of the check.
            command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fallocate,statfs,fstatfs", "-e",
                       "inject=fallocate:error=EOPNOTSUPP", "-e", "inject=statfs,fstatfs:error=ENOSYS", *command]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
                expect(result.returncode in (73, 74), f"{what}: code {result.returncode}")
                expect(len(errors) == 1, f"{what}: {result.stderr[-600:]!r}")
                expect("free" in result.stderr or "No space left" in result.stderr, f"{what}: {errors}")
                expect(not (small / "out.gguf").exists(), f"{what}: half a file")
                subprocess.run(["mount", "-o", "remount,size=1g", str(small)], check=True)
                campaign.check_end(small, what)
            else:
                expect(digest(small / "out.gguf") == campaign.whole, f"{what}: the bytes differ")
                successes += 1
        finally:
            subprocess.run(["umount", str(small)], check=True)
    print(f"disks of {sizes} sizes up to 12 times the output: {successes} had room; the others' work went on", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=".build/release/auraflow")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--type", default="q4_K")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--sizes", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        campaign = Campaign(arguments.auraflow, pathlib.Path(place), arguments.preset, arguments.type)
        print(f"an undisturbed run takes {campaign.seconds:.1f} s", flush=True)
        same_bytes(campaign)
        kill_at_random(campaign, arguments.kills)
        full_disks(campaign, max(2, arguments.sizes))
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
