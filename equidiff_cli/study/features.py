"""The features of a network: what its classifier sees, or its output where it has none."""

import torch

from equidiff_cli.target.features import classifier, flat

MOST = 2**17  # numbers a picture: 256 pictures of so many need 128 MiB


@torch.no_grad()
def look(network, x, batch):
    """Logits (N, classes) and features (N, D), both float32 on the CPU, of pictures (N, 3, H, W) in [0, 1].

    Features are the input of the layer that makes the logits, its mean over positions if there are any. A network
    without such a layer has only its output, which is then both. `ValueError` if that has too many numbers to compare.
    """
    layer, logits, features = classifier(network, x[:1]), [], []
    hook = layer and layer.register_forward_pre_hook(
        lambda module, inputs: features.append(flat(module, inputs[0]).cpu())
    )
    try:
        for part in x.split(batch):
            logits.append(network(part).float().flatten(1).cpu())
            if logits[-1].shape[1] > MOST:
                raise ValueError(
                    f"{network.name} has no classifier and gives {logits[-1].shape[1]} numbers a picture, too many to"
                    f" compare pictures by; at most {MOST}"
                )
    finally:
        if hook:
            hook.remove()
    logits = torch.cat(logits)
    return logits, torch.cat(features) if features and sum(map(len, features)) == len(x) else logits


def seen(network, x):
    """What the features of a network are, in words, seen with one picture (1, 3, H, W)."""
    layer = classifier(network, x)
    if layer is None:
        return "output of the network, which has no classifier that can be seen"
    (name,) = (name for name, module in network.model.named_modules() if module is layer)
    return f"input of the classifier ({name})" if name else "input of the classifier"
