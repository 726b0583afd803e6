"""Between pictures of 8 bits and tensors: every value comes back, and what lies outside is clamped."""

import numpy as np
import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_image, to_tensor


def test_round_trip_of_all_256_values():
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = Image.fromarray(np.stack([values, values[::-1], 255 - values], -1))
    x = to_tensor(image)
    assert (x.shape, x.dtype, x.is_contiguous()) == ((3, 8, 32), torch.float32, True)
    assert (x[0].flatten() == torch.arange(256) / 255).all()
    assert (x.min(), x.max()) == (0, 1)
    assert to_image(x).mode == "RGB"
    assert (np.asarray(to_image(x)) == np.asarray(image)).all()
    x[:] = 0  # the picture keeps its own memory
    assert np.asarray(image).any()


def test_to_image_rounds_and_clamps():
    x = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7.0, float("nan")], requires_grad=True)
    image = to_image(x.expand(3, 2, 6))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 255, 255, 0]
    assert (np.asarray(to_image(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16))) == 128).all()
