"""What networks say of the same pictures: logits (N, classes) of one of them, and the query's (classes,)."""

import torch


def same_class(logits, query_logits):
    """Whether the top class is the query's: (N,) of booleans."""
    return logits.argmax(1) == query_logits.argmax()


def class_logit_errors(logits, query_logits, index):
    """|logit of class `index` - the query's| (N,), at least 0, in logits."""
    return (logits[:, index] - query_logits[index]).abs()


def jensen_shannon(logits, query_logits):
    """Jensen-Shannon divergence (N,) in bits, in [0, 1], between class distributions and the query's (Lin 1991), or
    those (N, classes) of another network.

    0: both have the same probabilities. 1: they are sure of different classes.
    """
    p, q = logits.double().softmax(1), query_logits.double().softmax(-1)
    middle = (p + q) / 2
    entropy = torch.special.entr
    bits = entropy(middle).sum(1) - (entropy(p).sum(1) + entropy(q).sum(-1)) / 2
    return (bits / torch.log(torch.tensor(2.0, dtype=torch.float64))).clamp(0, 1)
