"""The features of a network: what its classifier sees."""

import torch


@torch.no_grad()
def look(network, x, batch):
    """Logits (N, classes) and features (N, D), both float32 on the CPU, of pictures (N, 3, H, W) in [0, 1].

    Features are the input of the last linear layer. A network without one has only its output, which is then both.
    """
    linear = [module for module in network.model.modules() if isinstance(module, torch.nn.Linear)]
    logits, features = [], []
    hook = linear[-1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0])) if linear else None
    try:
        for part in x.split(batch):
            logits.append(network(part).float().flatten(1).cpu())
    finally:
        if hook:
            hook.remove()
    logits = torch.cat(logits)
    seen = [part.float().flatten(1).cpu() for part in features]
    return logits, torch.cat(seen) if len(seen) and sum(map(len, seen)) == len(x) else logits
