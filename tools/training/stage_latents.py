"""Stage `latents`: encodes every picture to learn once, since the autoencoder no longer changes."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from loop import replace_atomically
from workspace import Collection, Workspace, to_tensor


@torch.no_grad()
def run(workspace: Workspace, device: torch.device) -> None:
    """Writes latents.safetensors: `singles` [n, 4, 16, 16] and `scenes`, in float32, scaled to unit deviation.

    Row i belongs to item i of the collection. Held-out items are encoded too; training leaves them out.
    """
    collection = Collection(workspace)
    model = AutoencoderKL.from_pretrained(workspace.needs(workspace.autoencoder, "vae")).to(device).eval()
    tensors = {}
    for name, items in (("singles", collection.singles), ("scenes", collection.scenes)):
        rows = []
        for start in range(0, len(items), 16):
            pictures = np.stack([collection.picture(item) for item in items[start : start + 16]])
            rows.append(model.encode(to_tensor(pictures, device)).latent_dist.mean.cpu())
        if rows:
            tensors[name] = torch.cat(rows).contiguous() * model.config.scaling_factor
            print(f"{name}: {len(items)} latents, deviation {tensors[name].std():.3f}", flush=True)
    replace_atomically(workspace.latents, lambda part: save_file(tensors, part))
