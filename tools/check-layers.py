#!/usr/bin/env python3
"""Checks that dependencies between targets only go down, and that imports and manifest agree.

    python3 tools/check-layers.py

Every target may depend only on targets that stand before it in LAYERS. Every `import` of one of our
targets must be declared in Package.swift, and every declared dependency must be imported somewhere.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

# From the bottom up. A new target gets its place here.
LAYERS = [
    "COpenBLAS", "CLibPNG", "StrictJSON", "Machine", "LinearAlgebra", "BlockFormats", "Tokenizers", "Images", "ImageMetrics",
    "ModelFiles", "CIntrinsics", "KernelInterface", "KernelsPortable", "KernelsAVX2", "KernelsAVXVNNI", "KernelsAVX512",
    "Kernels", "Quantization", "Compute", "ComputeCPU", "Checkpoints", "Diffusion", "Networks", "AuraFlowFamily",
    "FluxFamily",
    "ModelCatalog", "ModelSynthesis", "Conversion", "TextToImage", "Comparison", "BitAllocation", "Calibration",
    "Benchmarks",
    "CommandLineTool",
]
IMPORT = re.compile(
    r"^\s*(?:@\w+\s+)*(?:(?:public|package|internal|private)\s+)?import\s+"
    r"(?:(?:struct|class|enum|protocol|func|typealias|let|var)\s+)?(\w+)", re.MULTILINE)

# Words of each folder in Sources/Families. The program's own name, auraflow in lower case, is nobody's.
FAMILY_WORDS = {
    "Flux": re.compile(r"\bFlux|FLUX\.1|\bflux\b"),
    "AuraFlow": re.compile(r"AuraFlow|auraFlow|Pile-?T5|pile_t5|\baura\."),
}
# Where every family may be named: the list of families, and what people read.
NAMING_PLACES = ["Sources/ModelCatalog/", "Sources/CommandLineTool/Commands/", "Sources/CommandLineTool/Options/"]
# Networks know a device and handles of its memory: neither memory itself nor what computes with it.
DEVICE_TARGETS = {"Machine", "KernelInterface", "Kernels", "ComputeCPU"}
# What would be visible to a network through what it imports.
HIDDEN_TARGETS = {"Kernels", "ComputeCPU"}
NETWORK_TARGETS = {"Diffusion", "Networks", "ModelCatalog"}
# Words that silence the compiler's strict memory safety.
UNSAFE = re.compile(r"\bunsafe\b|@safe\b|@unchecked\b", re.MULTILINE)


def family_faults(root: pathlib.Path) -> list[str]:
    """Lines that name a family where none may be named."""
    faults = []
    for source in sorted((root / "Sources").rglob("*.swift")):
        path = source.relative_to(root).as_posix()
        if path.startswith(tuple(NAMING_PLACES)):
            continue
        for family, words in FAMILY_WORDS.items():
            if path.startswith(f"Sources/Families/{family}/"):
                continue
            for number, line in enumerate(source.read_text().splitlines(), 1):
                if words.search(line):
                    faults.append(f"{path}:{number}: names {family}, which only its own folder may: {line.strip()}")
    for folder in sorted((root / "Sources/Families").iterdir()):
        if folder.is_dir() and folder.name not in FAMILY_WORDS:
            faults.append(f"Sources/Families/{folder.name}: has no words in FAMILY_WORDS of tools/check-layers.py")
    return faults


def below(name: str, targets: dict[str, set[str]]) -> set[str]:
    """All targets that a target depends on, directly or not."""
    found = set()
    waiting = [name]
    while waiting:
        new = targets.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    dump = subprocess.run(
        ["swift", "package", "dump-package"], cwd=root, check=True, capture_output=True, text=True).stdout
    faults = family_faults(root)
    targets = json.loads(dump)["targets"]
    dependencies = {
        target["name"]: {next(iter(d.values()))[0] for d in target["dependencies"]} & set(LAYERS) for target in targets}
    for target in targets:
        name = target["name"]
        if target["type"] in ("test", "system") or (target.get("path") or "").startswith("Tests/"):
            continue
        if name not in LAYERS:
            faults.append(f"{name}: has no place in LAYERS of tools/check-layers.py")
            continue
        declared = dependencies[name]
        folder = root / (target.get("path") or f"Sources/{name}")
        is_network = name in NETWORK_TARGETS or "Sources/Families/" in (target.get("path") or "")
        if is_network:
            for module in sorted(declared & DEVICE_TARGETS | below(name, dependencies) & HIDDEN_TARGETS):
                faults.append(f"Package.swift: {name} depends on {module}, which networks must not know")
        imported = set()
        # Targets for single kinds of CPU link to folders that they share.
        files = [pathlib.Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names]
        for source in sorted(file for file in files if file.suffix == ".swift"):
            text = source.read_text()
            if is_network and UNSAFE.search(text):
                faults.append(f"{source.relative_to(root)}: calls something safe that the compiler holds unsafe")
            for module in IMPORT.findall(text):
                if module not in LAYERS or module == name:
                    continue
                imported.add(module)
                if module not in declared:
                    faults.append(f"{source.relative_to(root)}: imports {module}, which {name} does not declare")
        for module in sorted(declared):
            if LAYERS.index(module) >= LAYERS.index(name):
                faults.append(f"Package.swift: {name} depends on {module}, which is not below it")
            if module not in imported:
                faults.append(f"Package.swift: {name} declares {module} but does not import it")
    print("\n".join(faults) if faults else "layers: every dependency goes down")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
