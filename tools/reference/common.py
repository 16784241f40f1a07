"""Where fixtures go and how they are written."""

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The last bits of products and of random numbers depend on the width of vectors: one width on all machines.
for variable in ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA"):
    os.environ.setdefault(variable, "avx2" if variable.startswith("ATEN") else "AVX2")

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)

FIXTURES = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"


def write_json(path: Path, content) -> None:
    """Indented ASCII JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_json_rows(path: Path, rows: list) -> None:
    """A JSON array with one row per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A safetensors file of contiguous copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()}, path)
    path.chmod(0o644)


def quiet() -> None:
    """No progress bars and no warnings about prompts that fixtures truncate on purpose."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
