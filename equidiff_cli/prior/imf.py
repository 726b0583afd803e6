"""Improved MeanFlow, the network of jumps by mean velocities (Geng et al. 2025, arXiv:2512.02012).

A transformer on latent patches without any modulation: class, guidance and length of the jump are tokens before those
of the patches. Option names are those of the published code (Lyy-iiis/imeanflow), names of tensors those of its files
without the `net.` and `_flax_...` in them.

Shapes in the comments: N samples, K tokens of conditions, T = K + patches, D width, h heads, d = D / h.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from equidiff_cli.prior.lightningdit import LabelEmbedding, PatchEmbedding, RMSNorm, TimeEmbedding
from equidiff_cli.prior.precision import keep_in
from equidiff_cli.weights.read import load

PREFIX = "net."
WRAPPERS = ("._flax_linear.", "._flax_embedding.")
TRAINING_ONLY = ("v_heads.", "v_final_layer.")  # the head for the velocity at once, that only training needs


@dataclass(frozen=True)
class Options:
    """The published options of the network; unchanged they are those of B/2.

    Args:
        input_size, in_channels, patch_size: height and width of the latents, their channels C, side of a patch.
        hidden_size, depth, num_heads, mlp_ratio: the size of the transformer.
        num_classes: classes in the table, without the null class.
        aux_head_depth: how many of the `depth` blocks, the last ones, are the head for u.
        num_class_tokens, num_time_tokens, num_cfg_tokens, num_interval_tokens: tokens of each condition; of the
            interval's two ends, tokens of one.
        eval_mode: of the published code; here nothing depends on it.
    """

    input_size: int = 32
    patch_size: int = 2
    in_channels: int = 4
    hidden_size: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 8 / 3
    num_classes: int = 1000
    aux_head_depth: int = 8
    num_class_tokens: int = 8
    num_time_tokens: int = 4
    num_cfg_tokens: int = 4
    num_interval_tokens: int = 2
    eval_mode: bool = True


def rotated(x):
    """Rotary position embedding (Su et al. 2021) of x (N, h, T, d) along the one dimension of the sequence; adjacent
    channels form a pair. In real numbers: through a complex view of the same memory there would be no gradient."""
    tokens, width = x.shape[-2:]
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, device=x.device).float() / width)
    angles = torch.outer(torch.arange(tokens, device=x.device).float(), frequencies)  # (T, d / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.float()[..., 0::2], x.float()[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Multi-head self-attention without biases; queries and keys are normalised, then rotated."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.q_norm, self.k_norm = RMSNorm(dim // num_heads), RMSNorm(dim // num_heads)

    def forward(self, x):  # (N, T, D)
        q, k, v = (
            project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (N, h, T, d)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(self.q_norm(q)), rotated(self.k_norm(k))
        out = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return self.out_proj(out.transpose(1, 2).flatten(-2))


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer 2020) without biases: `w1` passes through SiLU and gates `w3`."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.w1, self.w3 = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """One transformer block; what it adds is scaled channel by channel, whatever the condition."""

    def __init__(self, dim, num_heads, mlp_ratio):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(dim), RMSNorm(dim)
        self.attn, self.mlp = Attention(dim, num_heads), SwiGLU(dim, int(dim * mlp_ratio))
        self.attn_scale, self.mlp_scale = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))

    def forward(self, x):  # (N, T, D)
        x = x + self.attn_scale * self.attn(self.norm1(x))
        return x + self.mlp_scale * self.mlp(self.norm2(x))


class FinalLayer(nn.Module):
    """Normalisation and the projection back to patches."""

    def __init__(self, dim, out_features):
        super().__init__()
        self.norm, self.linear = RMSNorm(dim), nn.Linear(dim, out_features)

    def forward(self, x):
        return self.linear(self.norm(x))


class ImprovedMeanFlow(nn.Module):
    """The mean velocity u of a jump, where t = 1 is noise and t = 0 is data: z - u(z, h = 1) is the result of one.

    Args:
        options: of `Options`.
    """

    def __init__(self, **options):
        super().__init__()
        o = Options(**options)
        self.in_channels, self.input_size, self.num_classes = o.in_channels, o.input_size, o.num_classes
        self.patch_size, width = o.patch_size, o.hidden_size
        counts = dict(
            class_tokens=o.num_class_tokens,
            omega_tokens=o.num_cfg_tokens,
            t_min_tokens=o.num_interval_tokens,
            t_max_tokens=o.num_interval_tokens,
            time_tokens=o.num_time_tokens,
        )
        for name, count in counts.items():
            setattr(self, name, nn.Parameter(torch.randn(count, width) * 0.02))
        self.x_embedder = PatchEmbedding(o.patch_size, o.in_channels, width)
        self.y_embedder = LabelEmbedding(o.num_classes, width)
        for name in ("h", "omega", "cfg_t_start", "cfg_t_end"):
            setattr(self, f"{name}_embedder", TimeEmbedding(width))
        blocks = [Block(width, o.num_heads, o.mlp_ratio) for _ in range(o.depth)]
        shared = o.depth - o.aux_head_depth
        self.shared_blocks, self.u_heads = nn.ModuleList(blocks[:shared]), nn.ModuleList(blocks[shared:])
        self.u_final_layer = FinalLayer(width, o.patch_size**2 * o.in_channels)

    @classmethod
    def from_published(cls, state, **published_options):
        """The frozen network of a published file's tensors by name; `ValueError` for what does not fit."""
        return load(lambda: cls(**published_options), published_names(state), "state", cls.__name__, TRAINING_ONLY)

    def condition(self, h, omega, t_min, t_max, y):
        """The tokens (N, K, D) that stand before the patches.

        Args:
            h: length of the jump (N,), in (0, 1]; 0 for the velocity at once.
            omega: strength of the guidance (N,), at least 1, which is none.
            t_min, t_max: between which times there is guidance, (N,).
            y: classes (N,).
        """
        told = [
            (self.class_tokens, self.y_embedder(y)),
            (self.omega_tokens, self.omega_embedder(1 - 1 / omega)),
            (self.t_min_tokens, self.cfg_t_start_embedder(t_min)),
            (self.t_max_tokens, self.cfg_t_end_embedder(t_max)),
            (self.time_tokens, self.h_embedder(h)),
        ]
        return torch.cat([tokens + embedded[:, None] for tokens, embedded in told], dim=1)

    def mean_velocity(self, x, c):
        """Latents (N, C, H, W) and their condition, (N, K, D) or (1, K, D) for all -> u (N, C, H, W)."""
        x = torch.cat([c.expand(len(x), -1, -1), self.x_embedder(x)], dim=1)  # (N, T, D)
        for block in (*self.shared_blocks, *self.u_heads):
            x = block(x)
        return self.unpatchify(self.u_final_layer(x[:, c.shape[1] :]))

    def forward(self, x, h, omega, t_min, t_max, y):
        """u (N, C, H, W) of latents (N, C, H, W); the others as in `condition`."""
        return self.mean_velocity(x, self.condition(h, omega, t_min, t_max, y))

    def unpatchify(self, x):  # (N, T, p * p * C) -> (N, C, H, W)
        p, side = self.patch_size, self.input_size // self.patch_size
        x = x.reshape(len(x), side, side, p, p, self.in_channels)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(len(x), self.in_channels, side * p, side * p)

    def keep_in(self, dtype):
        """Keep what comes after the condition in `dtype`."""
        keep_in(dtype, self.x_embedder, self.shared_blocks, self.u_heads, self.u_final_layer)


def published_names(state):
    """Tensors with the names of the published file -> with those of `ImprovedMeanFlow`; others keep theirs."""
    renamed = {}
    for name, tensor in state.items():
        for wrapper in WRAPPERS:
            name = name.replace(wrapper, ".")
        renamed[name.removeprefix(PREFIX)] = tensor
    return renamed


class Guided(nn.Module):
    """`ImprovedMeanFlow` as `Prior` uses a velocity network: time goes to the data, guidance is set once.

    Args:
        network: it.
        omega, t_min, t_max: see `ImprovedMeanFlow.condition`; numbers.
    """

    def __init__(self, network, omega, t_min, t_max):
        super().__init__()
        self.network, self.guidance = network, (omega, t_min, t_max)
        self.in_channels, self.input_size, self.num_classes = (
            getattr(network, name) for name in ("in_channels", "input_size", "num_classes")
        )

    def condition(self, h, y):
        """Lengths of jumps (N,) and classes (N,) -> tokens (N, K, D)."""
        return self.network.condition(h, *(torch.full_like(h, value) for value in self.guidance), y)

    def velocity(self, z, c):
        """Towards the data: -u."""
        return -self.network.mean_velocity(z, c)

    def keep_in(self, dtype):
        self.network.keep_in(dtype)
