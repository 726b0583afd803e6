"""The autoencoder that turns latents into pictures, on diffusers' AutoencoderKL."""

import re

from diffusers import AutoencoderKL

from equidiff_cli.prior.precision import keep_in

# In the published file but only used in training: the losses, the foundation model that latents were aligned with, and
# the projection between the two.
TRAINING_ONLY = ("loss.", "foundation_model.", "linear_proj.")

RENAMES = (  # (VA-VAE, diffusers), applied in this order to names below `encoder.` and `decoder.`; `up.i` see below
    (r"\.down\.(\d+)\.", r".down_blocks.\1."),
    (r"\.block\.(\d+)\.", r".resnets.\1."),
    (r"\.attn\.(\d+)\.", r".attentions.\1."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.downsample\.", ".downsamplers.0."),
    (r"\.upsample\.", ".upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"(\.attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(\.attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(\.attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
)
OLDER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # names in diffusers before 0.18


class Autoencoder(AutoencoderKL):
    """diffusers' autoencoder, which says what of it may be kept in half precision."""

    def keep_in(self, dtype):
        """Keep what decodes in `dtype`; what encodes stays float32."""
        keep_in(dtype, self.post_quant_conv, self.decoder)


def build(
    latent_channels=32,
    block_out_channels=(128, 128, 256, 256, 512),
    layers_per_block=2,
    attention_levels=(4,),
    sample_size=256,
    norm_num_groups=32,
):
    """An `Autoencoder` with random weights; the defaults are VA-VAE f16d32 (Yao et al. 2025, arXiv:2501.01423).

    Encode: pictures (N, 3, H, W) in [-1, 1] -> latents (N, latent_channels, H / f, W / f), where f is
    2^(levels - 1); decode goes back. `attention_levels` names the levels (0 = full resolution) with attention.
    """
    levels = len(block_out_channels)
    down = ["AttnDownEncoderBlock2D" if i in attention_levels else "DownEncoderBlock2D" for i in range(levels)]
    up = ["AttnUpDecoderBlock2D" if i in attention_levels else "UpDecoderBlock2D" for i in reversed(range(levels))]
    return Autoencoder(
        in_channels=3,
        out_channels=3,
        latent_channels=latent_channels,
        block_out_channels=tuple(block_out_channels),
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        layers_per_block=layers_per_block,
        norm_num_groups=norm_num_groups,
        sample_size=sample_size,
        scaling_factor=1.0,
        mid_block_add_attention=True,
    ).eval()


def current(name):
    """The name of a tensor of attention in diffusers today, of one of `OLDER`; other names stay."""
    return re.sub(rf"(\.attentions\.\d+)\.({'|'.join(OLDER)})\.", lambda match: f"{match[1]}.{OLDER[match[2]]}.", name)


def from_published(state, levels=None):
    """Tensors with the names of VA-VAE (those of LDM, Rombach et al. 2022) -> with the names of `build`.

    The 1 x 1 kernels of attention become matrices, older names of diffusers those of today. Nothing is dropped, so
    strict loading reports what does not belong; a state that has the names of `build` already comes back unchanged.

    Args:
        levels: how many there are, since the two count them from opposite ends in the decoder; None: as in `state`.
    """
    if levels is None:
        found = [re.match(r"(?:encoder\.down|decoder\.up)\.(\d+)\.", name) for name in state]
        levels = 1 + max((int(match[1]) for match in found if match), default=0)
    renamed = {}
    for name, tensor in state.items():
        if name.startswith(("encoder.", "decoder.")):
            name = re.sub(r"\.up\.(\d+)\.", lambda match: f".up_blocks.{levels - 1 - int(match[1])}.", name)
            for published, ours in RENAMES:
                name = re.sub(published, ours, name)
            name = current(name)
            if ".attentions." in name and tensor.ndim == 4:  # (O, I, 1, 1) -> (O, I)
                tensor = tensor.squeeze((2, 3))
        renamed[name] = tensor
    return renamed
