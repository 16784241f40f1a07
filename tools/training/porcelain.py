"""The drawings as blue and white porcelain: their light and shade in four tones of one glaze.

A style to train an adapter on (stage `adapter`). It is computed from the drawings, nothing else goes into it. Backgrounds
keep their colour.
"""

import numpy as np

# From the darkest to the lightest part of a drawing, evenly spaced; between them in straight lines.
_TONES = np.array([(16, 32, 112), (52, 104, 208), (160, 200, 245), (252, 253, 255)], np.float32)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_ENDS = (3, 97)  # Percentiles of luminance that get the first and the last tone.
_LEAST_RANGE = 64.0  # In levels: drawings of one shade are not torn apart.
_SOLID = 230  # Cover of a drawing from which a pixel's luminance counts.


def porcelain(pixels: np.ndarray) -> np.ndarray:
    """A drawing (uint8 [height, width, 4]) in blue and white; its cover stays as it is."""
    light = pixels[..., :3] @ _LUMINANCE
    low, high = np.percentile(light[pixels[..., 3] >= _SOLID], _ENDS)
    places = np.clip((light - low) / max(high - low, _LEAST_RANGE), 0, 1) * (len(_TONES) - 1)
    tones = [np.interp(places, range(len(_TONES)), channel) for channel in _TONES.T]
    return np.dstack([*tones, pixels[..., 3]]).round().astype(np.uint8)
