"""LightningDiT, the velocity network of the prior (Yao, Yang & Wang 2025, arXiv:2501.01423).

A diffusion transformer (Peebles & Xie 2023, arXiv:2212.09748) on latent patches with SwiGLU, RMSNorm and rotary
position embedding. Option names and state-dict keys are those of the published weights (hustvl/LightningDiT).

Shapes in the comments: N samples, T tokens, D width, h heads, d = D / h.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import nn

from equidiff_cli.checks import number
from equidiff_cli.prior.precision import keep_in


@dataclass(frozen=True)
class Architecture:
    """The options of `LightningDiT`, under the names of the published code; unchanged they are those of XL/1.

    Args:
        input_size: height and width of the latents.
        patch_size: side of a patch in latent pixels.
        in_channels: channels C of the latents.
        hidden_size, depth, num_heads, mlp_ratio: the size of the transformer; `configs/prior/local.yaml` names those of
            the published sizes.
        num_classes: classes in the table, without the null class.
        use_qknorm, use_swiglu, use_rope, use_rmsnorm, wo_shift: variations of the published code.
        learn_sigma: the final layer has twice the channels, of which the first half is the velocity.

    Raises `ValueError` for what is of the wrong type, and for numbers that do not go together.
    """

    input_size: int = 16
    patch_size: int = 1
    in_channels: int = 32
    hidden_size: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    use_qknorm: bool = False
    use_swiglu: bool = True
    use_rope: bool = True
    use_rmsnorm: bool = True
    wo_shift: bool = False
    learn_sigma: bool = False

    def __post_init__(self):
        for field in fields(self):
            key, value = f"prior.architecture.{field.name}", getattr(self, field.name)
            if field.type is not bool:
                number(key, value, **dict(above=0) if field.type is float else dict(minimum=1, whole=True))
            elif not isinstance(value, bool):
                raise ValueError(f"{key}={value}: must be true or false")
        if self.input_size % self.patch_size:
            raise ValueError(
                f"prior.architecture.patch_size={self.patch_size}: must divide input_size={self.input_size}"
            )
        if self.hidden_size % (4 * self.num_heads):  # pairs of channels turn, half with the row, half with the column
            raise ValueError(
                f"prior.architecture.hidden_size={self.hidden_size}: must be a multiple of 4 num_heads={self.num_heads}"
            )


class RMSNorm(nn.Module):
    """x / rms(x) over the last dimension, in float32, cast back, then scaled (Zhang & Sennrich 2019)."""

    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype) * self.weight


class RotaryEmbedding(nn.Module):
    """Rotary position tables for a square grid (Su et al. 2021); the first half of a head turns with the row, the
    second with the column. Adjacent channels form a pair."""

    def __init__(self, head_dim, grid, theta=10000.0):
        super().__init__()
        with torch.device("cpu"):  # as in `sincos_position_embedding`
            frequencies = theta ** (-torch.arange(0, head_dim // 2, 2).float() / (head_dim // 2))
            angles = torch.outer(torch.arange(grid).float(), frequencies).repeat_interleave(2, dim=1)  # (grid, d/2)
        rows, columns = angles[:, None].expand(-1, grid, -1), angles[None].expand(grid, -1, -1)
        angles = torch.cat([rows, columns], dim=-1).flatten(0, 1)  # (T, d)
        self.register_buffer("freqs_cos", angles.cos())
        self.register_buffer("freqs_sin", angles.sin())

    def forward(self, x):  # (N, h, T, d)
        turned = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
        return (x * self.freqs_cos + turned * self.freqs_sin).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention with optional query-key normalisation."""

    def __init__(self, dim, num_heads, use_qknorm=False, use_rmsnorm=True):
        super().__init__()
        self.num_heads = num_heads
        norm = RMSNorm if use_rmsnorm else nn.LayerNorm
        self.qkv = nn.Linear(dim, 3 * dim)
        self.q_norm = norm(dim // num_heads) if use_qknorm else nn.Identity()
        self.k_norm = norm(dim // num_heads) if use_qknorm else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, rope=None):  # (N, T, D)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # each (N, h, T, d)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = rope(q), rope(k)
        out = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return self.proj(out.transpose(1, 2).flatten(-2))


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer 2020): the first half of `w12` passes through SiLU and gates the second."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.w12 = nn.Linear(dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, x):
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class MLP(nn.Module):
    """The feed-forward layer of the original DiT, used where SwiGLU is off."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def layer_norm(dim, use_rmsnorm):
    """The normalisation before attention and feed-forward layers: RMSNorm, or LayerNorm without affine weights."""
    return RMSNorm(dim) if use_rmsnorm else nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)


class Block(nn.Module):
    """One transformer block, modulated by the condition (adaLN-Zero, Peebles & Xie 2023, figure 3)."""

    def __init__(self, dim, num_heads, mlp_ratio, use_qknorm, use_swiglu, use_rmsnorm, wo_shift):
        super().__init__()
        self.norm1 = layer_norm(dim, use_rmsnorm)
        self.attn = Attention(dim, num_heads, use_qknorm, use_rmsnorm)
        self.norm2 = layer_norm(dim, use_rmsnorm)
        hidden = int(dim * mlp_ratio)
        self.mlp = SwiGLU(dim, int(2 / 3 * hidden)) if use_swiglu else MLP(dim, hidden)
        self.wo_shift = wo_shift
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, (4 if wo_shift else 6) * dim))

    def forward(self, x, c, rope=None):  # (N, T, D), (N or 1, D)
        modulation = self.adaLN_modulation(c)[:, None]  # (N or 1, 1, 4D or 6D)
        if self.wo_shift:
            scale1, gate1, scale2, gate2 = modulation.chunk(4, dim=-1)
            shift1 = shift2 = 0.0
        else:
            shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, rope)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class FinalLayer(nn.Module):
    """Modulated normalisation and the projection back to patches."""

    def __init__(self, dim, out_features, use_rmsnorm):
        super().__init__()
        self.norm_final = layer_norm(dim, use_rmsnorm)
        self.linear = nn.Linear(dim, out_features)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x, c):  # (N, T, D), (N or 1, D)
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, dim=-1)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class PatchEmbedding(nn.Module):
    """Cut latents into patches and project each: (N, C, H, W) -> (N, T, D)."""

    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class TimeEmbedding(nn.Module):
    """Sinusoids of the time (cosines first, period 10000) through a two-layer SiLU network: (N,) -> (N, D)."""

    def __init__(self, dim, frequencies=256):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.half = frequencies // 2

    def forward(self, t):
        steps = torch.arange(self.half, device=t.device, dtype=torch.float32)
        angles = t[:, None].float() * torch.exp(-math.log(10000) * steps / self.half)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.mlp[0].weight.dtype))


class LabelEmbedding(nn.Module):
    """A table with one row a class and a last one for "no class": (N,) int64 -> (N, D)."""

    def __init__(self, num_classes, dim):
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, dim)

    def forward(self, y):
        return self.embedding_table(y)


def sincos_position_embedding(dim, grid):
    """The fixed position table of DiT, (1, grid * grid, dim): columns in the first half, rows in the second."""
    with torch.device("cpu"):  # on the meta device torch would import its compiler for it, see `weights.read.load`
        frequencies = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))
        angles = torch.outer(torch.arange(grid, dtype=torch.float64), frequencies)
    table = torch.cat([angles.sin(), angles.cos()], dim=1)  # (grid, dim / 2)
    columns, rows = table[None].expand(grid, -1, -1), table[:, None].expand(-1, grid, -1)
    return torch.cat([columns, rows], dim=-1).flatten(0, 1)[None].float()


class LightningDiT(nn.Module):
    """The velocity network: latents (N, C, H, W), times (N,) in [0, 1], classes (N,) -> dz/dt (N, C, H, W).

    t = 0 is noise and t = 1 is data; class `num_classes` means none.

    Args:
        options: of `Architecture`.
    """

    def __init__(self, **options):
        super().__init__()
        a = Architecture(**options)
        self.patch_size, self.in_channels, self.num_classes = a.patch_size, a.in_channels, a.num_classes
        self.input_size = a.input_size
        self.out_channels = 2 * a.in_channels if a.learn_sigma else a.in_channels
        width, grid = a.hidden_size, a.input_size // a.patch_size
        self.x_embedder = PatchEmbedding(a.patch_size, a.in_channels, width)
        self.t_embedder = TimeEmbedding(width)
        self.y_embedder = LabelEmbedding(a.num_classes, width)
        self.pos_embed = nn.Parameter(sincos_position_embedding(width, grid), requires_grad=False)
        self.feat_rope = RotaryEmbedding(width // a.num_heads, grid) if a.use_rope else None
        self.blocks = nn.ModuleList(
            Block(width, a.num_heads, a.mlp_ratio, a.use_qknorm, a.use_swiglu, a.use_rmsnorm, a.wo_shift)
            for _ in range(a.depth)
        )
        self.final_layer = FinalLayer(width, a.patch_size**2 * self.out_channels, a.use_rmsnorm)

    def condition(self, t, y):
        """Times (N,) and classes (N,) -> the condition (N, D) that modulates every block."""
        return self.t_embedder(t) + self.y_embedder(y)

    def velocity(self, x, c):
        """Latents (N, C, H, W) and their condition, (N, D) or (1, D) for all -> dz/dt (N, C, H, W)."""
        x = self.x_embedder(x) + self.pos_embed  # (N, T, D)
        for block in self.blocks:
            x = block(x, c, self.feat_rope)
        x = self.final_layer(x, c)  # (N, T, p * p * C)
        return self.unpatchify(x)[:, : self.in_channels]

    def forward(self, x, t, y):
        return self.velocity(x, self.condition(t, y))

    def unpatchify(self, x):  # (N, T, p * p * C) -> (N, C, H, W)
        p, side = self.patch_size, self.input_size // self.patch_size
        x = x.reshape(len(x), side, side, p, p, self.out_channels)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(len(x), self.out_channels, side * p, side * p)

    def keep_in(self, dtype):
        """Keep what comes after the condition in `dtype`; the embeddings of time and class stay float32."""
        keep_in(dtype, self.x_embedder, self.blocks, self.final_layer)
