"""Pipelines of diffusers as priors: equal to what diffusers itself draws, differentiable, and what is refused."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.deprecated import LDMPipeline

from equidiff_cli.prior.diffusion import Diffusers
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.request.labels import label_of

CPU = torch.device("cpu")


def unet(channels=3, **options):
    return UNet2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        **options,
    )


def made(kind):
    """A tiny pipeline with random weights."""
    torch.manual_seed(0)
    vae = dict(block_out_channels=(4, 8), norm_num_groups=4, latent_channels=4, layers_per_block=1)
    vae |= dict(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    if kind == "ddpm":
        return DDPMPipeline(unet(), DDPMScheduler(num_train_timesteps=100))
    if kind == "ddim":  # everything else than usual
        options = dict(prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False)
        return DDIMPipeline(unet(), DDIMScheduler(num_train_timesteps=90, set_alpha_to_one=False, **options))
    if kind == "classes":
        schedule = DDIMScheduler(num_train_timesteps=90, prediction_type="sample", timestep_spacing="linspace")
        return DDIMPipeline(unet(num_class_embeds=5), schedule)
    if kind == "ldm":
        vq = VQModel(**vae | dict(latent_channels=3), num_vq_embeddings=16)
        return LDMPipeline(vqvae=vq, unet=unet(), scheduler=DDIMScheduler(clip_sample=False))
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=4,
        patch_size=2,
        num_embeds_ada_norm=5,
    )
    for parameter in transformer.parameters():  # what begins at zero would tell nothing
        parameter.data += 0.05 * torch.randn_like(parameter)
    schedule = DDIMScheduler(num_train_timesteps=100, clip_sample=False)
    return DiTPipeline(transformer=transformer, vae=AutoencoderKL(**vae), scheduler=schedule)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    for kind in ("ddpm", "ddim", "classes", "ldm", "dit"):
        made(kind).save_pretrained(root / kind)
    index = root / "dit" / "model_index.json"  # as the published ones have it
    named = {"id2label": {str(i): f"thing {i}" for i in range(5)}}
    index.write_text(json.dumps(json.loads(index.read_text()) | named))
    return root


def light(folder, **options):
    size = 16 if folder.name == "ldm" else 8
    return Diffusers(**dict(name=str(folder), image_size=size, steps=5, label=None, classes=None) | options)


def noise_of(prior, n=2):
    return torch.stack([prior.noise(seed) for seed in range(n)])


def drawn(kind, folder, z, label):
    """Pictures (N, H, W, 3) in [0, 1] that diffusers draws from the noise z, by its own code."""
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(5)
    pipeline = {"ddpm": DDPMPipeline, "ldm": LDMPipeline, "dit": DiTPipeline}.get(kind, DDIMPipeline)
    pipeline = pipeline.from_pretrained(folder, use_safetensors=True)
    network = pipeline.transformer if kind == "dit" else pipeline.unet
    labels = None if label is None else torch.full((len(z),), label)
    with torch.no_grad():
        for t in scheduler.timesteps:
            said = network(z, t.expand(len(z)), class_labels=labels).sample[:, : z.shape[1]]
            z = scheduler.step(said, t, z, eta=0.0).prev_sample
        if kind in ("ldm", "dit"):
            decoder = pipeline.vqvae if kind == "ldm" else pipeline.vae
            z = decoder.decode(z / decoder.config.scaling_factor).sample
    return (z / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("kind", "label"), [("ddpm", None), ("ddim", None), ("classes", 3), ("ldm", None), ("dit", 2)])
def test_pictures_are_those_of_its_own_sampler(folders, kind, label):
    prior = light(folders / kind, label=label).build(CPU, torch.float32).draws_as(label)
    z = noise_of(prior)
    with torch.no_grad():
        found = prior.decode(prior.flow(z)).permute(0, 2, 3, 1)
    wanted = drawn(kind, folders / kind, z, label)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)
    assert prior.evaluations == 5 and len(prior.weights) == (2 if kind in ("ldm", "dit") else 1)


def test_pictures_are_those_of_the_pipeline_as_a_whole(folders):
    prior = light(folders / "ddpm").build(CPU, torch.float32)
    generator = torch.Generator().manual_seed(7)
    z = torch.randn(2, *prior.latent_shape, generator=torch.Generator().manual_seed(7))
    pipeline = DDIMPipeline.from_pretrained(folders / "ddpm")
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, generator=generator, eta=0.0, num_inference_steps=5, output_type="np").images
    with torch.no_grad():
        np.testing.assert_allclose(prior.decode(prior.flow(z)).permute(0, 2, 3, 1), images, atol=2e-5)


@pytest.mark.parametrize("kind", ["ddim", "dit"])
def test_gradients_are_those_of_finite_differences(folders, kind):
    prior = light(folders / kind, label=1 if kind == "dit" else None).build(CPU, torch.float32)
    prior = prior.draws_as(1 if kind == "dit" else None)
    prior.network.double()
    prior._velocity = lambda z, condition: prior.network.velocity(z, condition.double())
    z, along = (torch.randn(2, *prior.latent_shape, dtype=torch.float64) for _ in range(2))
    for adjoint in (Adjoint(), Adjoint(recompute=0)):
        start = z.requires_grad_()
        slope = torch.autograd.grad(prior.flow(start, adjoint).square().sum(), start)[0]
        with torch.no_grad():
            ahead, behind = (prior.flow(z + h * along).square().sum() for h in (1e-5, -1e-5))
        torch.testing.assert_close((slope * along).sum(), (ahead - behind) / 2e-5, rtol=1e-6, atol=0)


def test_what_it_says_of_classes(folders):
    assert label_of(light(folders / "ddpm")).null_trained is None
    assert label_of(light(folders / "dit", label="thing 3")).index == 3
    assert label_of(light(folders / "dit")).null_trained == "yes"
    with pytest.raises(ValueError, match=r"^prior\.label=3: this prior knows no classes; leave it null$"):
        label_of(light(folders / "ddpm", label=3))
    with pytest.raises(ValueError, match=r"^prior\.label=null: this prior always draws a class; give one of its 5 "):
        label_of(light(folders / "classes"))
    with pytest.raises(ValueError, match=r"^prior\.label=5: "):
        label_of(light(folders / "classes", label=5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(image_size=256), "prior.image_size=256: use one of 8"),
        (dict(steps=101), "prior.steps=101: must be a whole number at least 1 and at most 100"),
    ],
)
def test_options_that_are_not_those_of_the_pipeline(folders, options, message):
    with pytest.raises(ValueError) as error:
        light(folders / "ddpm", **options).sources()
    assert str(error.value) == message


def test_pickled_weights_are_refused(tmp_path):
    made("ddpm").save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(ValueError, match=r"only a pickled file is there, which could run code: save the pip"):
        light(tmp_path / "pickled").sources()


def test_weights_of_another_size_are_named(tmp_path):
    made("ddpm").save_pretrained(tmp_path / "other")
    file = tmp_path / "other" / "unet" / "config.json"
    options = json.loads(file.read_text()) | {"block_out_channels": [8, 32]}
    file.write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r"unet does not fit, wrong: .* instead of .*$") as error:
        light(tmp_path / "other").build(CPU, torch.float32)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "model_index.json",
            {"_class_name": "StableDiffusionPipeline"},
            "is a StableDiffusionPipeline; accepted: DDPM",
        ),
        ("model_index.json", None, "has no model_index.json"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatch"}, "its FlowMatch is no schedule of DDPM"),
        ("unet/config.json", {"_class_name": "Module"}, "class of unet=Module: use one of UNet2DModel, "),
    ],
)
def test_folders_that_are_no_such_pipeline(tmp_path, file, content, message):
    made("ddpm").save_pretrained(tmp_path / "other")
    place = tmp_path / "other" / file
    place.unlink() if content is None else place.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        light(tmp_path / "other").sources()
    assert str(error.value).startswith(f"prior.name={tmp_path / 'other'}")


def test_a_name_that_is_none():
    with pytest.raises(
        ValueError, match=r"^prior\.name=\./nowhere: must be the folder of a pipeline, or owner/name on"
    ):
        light(Path("./nowhere"), name="./nowhere")


def test_through_the_command(equidiff, folders, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    words = ("samples=2", "budget.steps=2", "null_samples=2", "hydra.run.dir=out", "prior=diffusers")
    done = equidiff("run", *words, f"prior.name={folders / 'dit'}", "prior.image_size=8", "prior.label=random")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert all(record["label"]["name"] == f"thing {record['label']['index']}" for record in records)
    done = equidiff("run", *words[:-2], "prior=diffusers", f"prior.name={folders / 'ddpm'}", "prior.image_size=64")
    assert done.returncode == 2 and done.stderr.splitlines() == ["equidiff: prior.image_size=64: use one of 8"]
