"""What every training script needs: options, device and precision, resumable steps, averaged weights, files."""

import argparse
import copy
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from equidiff_cli.files import whole


def arguments(description, checkpoint, data="folder with CIFAR-10 (see scripts/shared/cifar10.py)"):
    """A parser with the options all training scripts have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help=data)
    parser.add_argument("--checkpoint", default=checkpoint, help="state to resume from and save to [%(default)s]")
    parser.add_argument("--out", help="write the finished weights here, half precision safetensors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compile the network (faster after a minute or so)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads [all]")
    return parser


def prepare(args):
    """Seed everything, set the threads and the precision of products on a GPU, and return the device."""
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    Path(args.checkpoint).parent.mkdir(parents=True, exist_ok=True)
    return device


def autocast(device):
    """bfloat16 where the hardware multiplies it faster than float32, else nothing."""
    fast = (
        torch.cuda.is_bf16_supported()
        if device.type == "cuda"
        else device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    )
    return torch.autocast(device.type, torch.bfloat16) if fast else nullcontext()


def attention(device):
    """How attention is computed: on a CPU plain products are faster, their backward most of all."""
    return sdpa_kernel([SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])


class Average(torch.nn.Module):
    """Exponential moving average of a model's weights, with a warm-up so that early noise is forgotten."""

    def __init__(self, model, decay):
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = (
            [*m.parameters(), *(b for b in m.buffers() if b.is_floating_point())] for m in (self.model, model)
        )  # the statistics of batch norm belong to the averaged weights
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for counter, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            if not counter.is_floating_point():
                counter.copy_(theirs)


class Checkpoint:
    """Saves and restores named parts; a file appears whole or not at all.

    `generator` is saved, too. A training draws all its random numbers from it, on the device of the generator, so a
    resumed one sees what an uninterrupted one would.
    """

    def __init__(self, path, generator, every_seconds=120, **parts):
        self.path, self.generator, self.parts = Path(path), generator, parts
        self.every_seconds, self.saved_at = every_seconds, time.monotonic()

    def load(self):
        """Restore every part, if there is a file; return the step to go on with (0 without one)."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        return state["step"]

    def save(self, step, force=False):
        """Save after `step` steps, if the last save is long enough ago."""
        if not force and time.monotonic() - self.saved_at < self.every_seconds:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"generator": self.generator.get_state(), "step": step}
        with whole(self.path) as beside:
            torch.save(state, beside)
        self.saved_at = time.monotonic()

    def steps(self, stop, stride=1):
        """The steps from the saved one to `stop`, every `stride`-th of them; each is saved when its work is done."""
        for step in range(self.load(), stop, stride):
            yield step
            self.save(step + stride, force=step + stride >= stop)


def shown(steps, stop, what):
    """The same steps of `stop` in all, with a bar on standard error where that is a terminal."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=stop)
        for step in steps:
            yield step
            bar.update(task, completed=step + 1)


class Recent:
    """What the last steps gave, for a line about the progress."""

    def __init__(self):
        self.values, self.since = [], time.monotonic()

    def add(self, values):
        """Take in the tensor (D,) of a step."""
        self.values.append(values)

    def take(self):
        """The means of what was taken in, a list of D, and the seconds that a step took; then begin anew."""
        means = torch.stack(self.values).mean(0).tolist()  # waits for the device
        seconds = (time.monotonic() - self.since) / len(self.values)
        self.values, self.since = [], time.monotonic()
        return means, seconds


def statistics(latents):
    """Mean and scale, each (1, C, 1, 1), by which latents (N, C, H, W) are normalised.

    The scale goes with the square root of the standard deviation. Weak channels, which hold details, so stay weaker
    than strong ones and emerge from the noise after them; over all channels the variance is 1.
    """
    mean, std = latents.mean((0, 2, 3), keepdim=True), latents.std((0, 2, 3), keepdim=True)
    return mean, (std * std.mean()).sqrt()


def export(state, path):
    """Write tensors by name as safetensors, floating-point numbers as float16."""
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
    weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as beside:
        save_file(weights, beside)
    print(f"wrote {path}: {sum(tensor.numel() for tensor in weights.values()):,} numbers")
