"""Breaks `auraflow convert` in every way that a machine can, and checks what is left.

    python tools/faults/convert_faults.py --auraflow .build/release/auraflow --kills 200

After each fault the output is absent, the old one, or whole; the input is as it was; the program said one line and
ended with the right code; no temporary file is left (but after SIGKILL, and then the next run removes it). Where only
the name could not be given in the end, the whole file has another one.

* kill -9 at random moments (`--kills`), and at every write, fsync, rename and close (strace).
* The n-th write, fsync, rename, openat and pread failing with EIO, ENOSPC or EDQUOT, for each n (strace).
* A disk that is full after so many bytes, swept over `--sizes` sizes (tmpfs; needs the right to mount).
* Folders that cannot be written (read-only mount), names that are too long.

Needs strace; what cannot be tried is skipped with the reason. Ends with 1 if anything was wrong.
"""

import argparse
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

faults: list[str] = []
counts: dict[str, int] = {}


def expect(condition: bool, fault: str) -> None:
    """Notes a fault."""
    if not condition:
        faults.append(fault)
        print("FAULT", fault, flush=True)


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Campaign:
    """One input, its conversion, and the state that both must keep."""

    def __init__(self, auraflow: str, work: pathlib.Path):
        self.auraflow = str(pathlib.Path(auraflow).resolve())
        self.work = work
        self.input = work / "in.gguf"
        subprocess.run([self.auraflow, "synthesize", "--preset", "tiny", "--type", "f16", self.input], check=True,
                       stdout=subprocess.DEVNULL)
        self.input_digest = digest(self.input)
        whole = work / "whole.gguf"
        start = time.monotonic()
        subprocess.run(self.command(whole), check=True, stdout=subprocess.DEVNULL)
        self.seconds = time.monotonic() - start
        self.whole = digest(whole)
        self.size = whole.stat().st_size
        whole.unlink()

    def command(self, output: pathlib.Path, *more: str) -> list[str]:
        return [self.auraflow, "convert", str(self.input), str(output), "--type", "q8_0", "-t", "2", *more]

    def check(self, folder: pathlib.Path, name: str, old: str | None, what: str, killed: bool) -> bool:
        """Whether the output is whole; notes everything that is wrong."""
        output = folder / name
        expect(digest(self.input) == self.input_digest, f"{what}: the input changed")
        state = digest(output) if output.exists() else None
        expect(state in (old, self.whole), f"{what}: the output is neither absent, old nor whole")
        rest = [f for f in os.listdir(folder) if f != name]
        rescued = folder / "out-1.gguf"
        if not killed and rescued.exists():
            expect(digest(rescued) == self.whole and state == old, f"{what}: the rescued file is not whole")
            rest.remove(rescued.name)
        if not killed:
            expect(not rest, f"{what}: left {rest}")
        else:
            expect(all(re.fullmatch(r"\.out\.gguf\.tmp-\d+-\d+", f) for f in rest), f"{what}: left {rest}")
        return state == self.whole

    def run_again(self, folder: pathlib.Path, name: str, what: str) -> None:
        """The next run succeeds and cleans up."""
        result = subprocess.run(self.command(folder / name, "--force"), capture_output=True, text=True)
        expect(result.returncode == 0, f"{what}: the next run said {result.stderr!r}")
        expect(os.listdir(folder) == [name], f"{what}: the next run left {os.listdir(folder)}")
        expect(digest(folder / name) == self.whole, f"{what}: the next run's bytes differ")


def fresh(work: pathlib.Path, name: str) -> pathlib.Path:
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def kill_at_random(campaign: Campaign, rounds: int) -> None:
    """SIGKILL after a random part of the usual time, over an old file or none."""
    generator = random.Random(1)
    whole = 0
    for number in range(rounds):
        folder = fresh(campaign.work, "kill")
        old = None
        if number % 2:
            (folder / "out.gguf").write_bytes(b"old")
            old = digest(folder / "out.gguf")
        process = subprocess.Popen(campaign.command(folder / "out.gguf", "--force"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0, 1.2 * campaign.seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole += campaign.check(folder, "out.gguf", old, f"kill {number}", killed=True)
        if number % 10 == 0:
            campaign.run_again(folder, "out.gguf", f"kill {number}")
    counts["kills at random moments"] = rounds
    print(f"kill -9 at {rounds} random moments: {whole} outputs whole, the others absent or old", flush=True)


def strace(campaign: Campaign, folder: pathlib.Path, call: str, injection: str) -> subprocess.CompletedProcess:
    """Runs the conversion with a fault in one system call."""
    log = campaign.work / "strace.log"
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{injection}",
         *campaign.command(folder / "out.gguf")], capture_output=True, text=True, timeout=120)


def count_calls(campaign: Campaign, call: str) -> int:
    """How many such calls an undisturbed run makes."""
    folder = fresh(campaign.work, "count")
    log = campaign.work / "strace.log"
    subprocess.run(["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}",
                    *campaign.command(folder / "out.gguf")], capture_output=True, check=True)
    return sum(f"{call}(" in line for line in log.read_text(errors="replace").splitlines())


def moments(total: int, most: int) -> list[int]:
    """All of 1...total, or the first and last and some between."""
    if total <= most:
        return list(range(1, total + 1))
    step = (total - 20) / (most - 20)
    return sorted({*range(1, 11), *(11 + int(step * i) for i in range(most - 20)), *range(total - 9, total + 1)})


def kill_at_calls(campaign: Campaign, most: int) -> None:
    """SIGKILL at the n-th call that changes the disk."""
    for call in ("write", "pwrite64", "fsync", "rename", "renameat2", "fallocate", "close", "unlink"):
        total = count_calls(campaign, call)
        tried = moments(total, most)
        for number in tried:
            folder = fresh(campaign.work, "calls")
            strace(campaign, folder, call, f"signal=KILL:when={number}")
            campaign.check(folder, "out.gguf", None, f"kill at {call} {number}", killed=True)
        if tried:
            campaign.run_again(folder, "out.gguf", f"kill at {call}")
        counts[f"kills at {call}"] = len(tried)
        print(f"kill -9 at {len(tried)} of {total} {call} calls", flush=True)


def failing_calls(campaign: Campaign, most: int) -> None:
    """The n-th call fails; from then on, or once."""
    cases = [("write", ["ENOSPC", "EIO", "EDQUOT", "EINTR"]), ("fsync", ["EIO", "ENOSPC"]), ("rename", ["EIO"]),
             ("renameat2", ["EIO", "EINVAL", "ENOSYS"]), ("fallocate", ["ENOSPC", "EOPNOTSUPP", "EINTR"]),
             ("pwrite64", ["EIO", "ENOSPC"]), ("pread64", ["EIO", "EINTR"]), ("openat", ["EACCES", "EMFILE"])]
    for call, errors in cases:
        total = count_calls(campaign, call)
        silent = 0
        tried = moments(total, most)
        for error in errors:
            for number in tried:
                folder = fresh(campaign.work, "failing")
                what = f"{call} {number} fails with {error}"
                result = strace(campaign, folder, call, f"error={error}:when={number}")
                whole = campaign.check(folder, "out.gguf", None, what, killed=False)
                if result.returncode == 0:
                    # Calls that do not matter: messages, tries with a second way, libraries' files. Swift's
                    # runtime finds the arguments by /proc/self/maps; without them the program shows its help.
                    expect(whole or result.stdout.startswith("OVERVIEW"), f"{what}: success without an output")
                    silent += 1
                    continue
                expect(not whole or call == "write", f"{what}: failure, but the output is there")
                lines = [line for line in result.stderr.splitlines() if line.strip()]
                # Before main() the loader itself complains, in its own words and with 127.
                expect(result.returncode in (64, 65, 66, 71, 73, 74, 127), f"{what}: code {result.returncode}")
                expect(len(lines) <= 1, f"{what}: {len(lines)} lines: {lines[:3]}")
        counts[f"failing {call}"] = len(tried) * len(errors)
        print(f"{call} failing at {len(tried)} of {total} calls, {'/'.join(errors)}: {silent} did not matter",
              flush=True)


def mounted(options: list[str], target: pathlib.Path) -> bool:
    target.mkdir(exist_ok=True)
    return subprocess.run(["mount", *options, str(target)], capture_output=True).returncode == 0


def full_disks(campaign: Campaign, sizes: int) -> None:
    """A disk of each size from next to nothing to enough."""
    small = campaign.work / "small"
    if not mounted(["-t", "tmpfs", "-o", "size=1m", "tmpfs"], small):
        print("full disks: skipped, mounting is not permitted")
        return
    subprocess.run(["umount", str(small)], check=True)
    successes = 0
    for number in range(sizes):
        size = int(4096 + (campaign.size * 1.1 - 4096) * number / (sizes - 1))
        mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], small)
        try:
            old = None
            if number % 2:
                (small / "out.gguf").write_bytes(b"old")
                old = digest(small / "out.gguf")
            # Every third disk is filled behind the back of the check.
            more = ["--force"]
            command = campaign.command(small / "out.gguf", *more)
            if number % 3 == 2:
                command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fallocate,statfs,fstatfs", "-e",
                           "inject=fallocate:error=EOPNOTSUPP", "-e", "inject=statfs:error=ENOSYS", *command]
            result = subprocess.run(command, capture_output=True, text=True)
            what = f"disk of {size} bytes"
            whole = campaign.check(small, "out.gguf", old, what, killed=False)
            expect(whole == (result.returncode == 0), f"{what}: code {result.returncode}, whole {whole}")
            if result.returncode:
                expect(result.returncode in (73, 74), f"{what}: code {result.returncode}")
                expect("free" in result.stderr or "No space left" in result.stderr, f"{what}: {result.stderr}")
                expect(len(result.stderr.splitlines()) == 1, f"{what}: {result.stderr}")
            successes += whole
        finally:
            subprocess.run(["umount", str(small)], check=True)
    counts["full disks"] = sizes
    print(f"disks of {sizes} sizes up to 1.1 times the output: {successes} had room", flush=True)


def unwritable(campaign: Campaign) -> None:
    """Folders and names that cannot be."""
    folder = fresh(campaign.work, "readonly")
    if mounted(["--bind", str(folder)], folder):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        result = subprocess.run(campaign.command(folder / "out.gguf"), capture_output=True, text=True)
        expect(result.returncode == 73 and len(result.stderr.splitlines()) == 1, f"read-only: {result.stderr}")
        expect(not os.listdir(folder), "read-only: something was written")
        subprocess.run(["umount", str(folder)], check=True)
        print("read-only folder:", result.stderr.strip())
    else:
        print("read-only folder: skipped, mounting is not permitted")
    for name in ("x" * 300 + ".gguf", "no/such/out.gguf"):
        result = subprocess.run(campaign.command(folder / name), capture_output=True, text=True)
        expect(result.returncode == 73 and len(result.stderr.splitlines()) == 1, f"{name}: {result.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=".build/release/auraflow")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sizes", type=int, default=50)
    parser.add_argument("--calls", type=int, default=60, help="most moments of one kind of system call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        campaign = Campaign(arguments.auraflow, pathlib.Path(place))
        kill_at_random(campaign, arguments.kills)
        full_disks(campaign, max(2, arguments.sizes))
        unwritable(campaign)
        if shutil.which("strace"):
            kill_at_calls(campaign, max(40, arguments.calls))
            failing_calls(campaign, max(40, arguments.calls))
        else:
            print("faults in system calls: skipped, strace is not installed")
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
