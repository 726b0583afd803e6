"""Values out of range and keys that nothing reads, in one line each; nothing is loaded for it, torch neither.

`before` is what a command's words are held against first: a wrong value is answered before anything heavy is imported.
"""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from equidiff_cli.checks import choices, number, one_of, word_or_number
from equidiff_cli.parts.accepted import LEAST
from equidiff_cli.prior.accepted import check_jumps
from equidiff_cli.request.asking import check_asking
from equidiff_cli.request.cluster import check_cluster
from equidiff_cli.request.explanation import check_explanation
from equidiff_cli.request.groups import DOTTED, GROUPS, check_group, check_query
from equidiff_cli.request.schema import PRECISIONS, is_whole, options
from equidiff_cli.runs.names import EVALUATIONS_BEGIN, find, is_run

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def before(command: str, config: DictConfig, words):
    """`ValueError` for the first thing that is wrong with a request, as far as that can be told without torch.

    Args:
        words: the overrides, or of commands about runs the directories that were given.
    """
    if command == "run":
        check(config)
        check_query(config)
    elif command in OF_RUNS:
        OF_RUNS[command](config)
        if not any(Path(word).is_dir() for word in words):  # else those that can be are evaluated
            find(words)
    else:
        complete(config)
        for group in ("prior", "target") if command == "fetch" else ():
            if config[group] is not None:
                check_group(config, group)


def complete(config: DictConfig):
    """`ValueError` for the first key that nothing reads, that was taken out, or that has no value."""
    _known(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ValueError(f"{missing[0]}: has no default, give a value ({missing[0]}=...)")


def _known(node, above=""):
    """The first two of these for a node and all below it, and values `${...}` that cannot be had."""
    kind = OmegaConf.get_type(node)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(node)
    for name in node:
        if name not in names:
            raise ValueError(f"{above}{name}: no such key; {choices(name, [above + other for other in names])}")
    for name in names:
        if name not in node.keys():
            raise ValueError(f"{above}{name}: has no default, give a value ({above}{name}=...)")
        try:
            value = None if OmegaConf.is_missing(node, name) else node[name]
        except OmegaConfBaseException as error:  # of ${...}
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{above}{name}: {reason}") from error
        if isinstance(value, DictConfig):
            _known(value, f"{above}{name}.")


def check(config: DictConfig):
    """Raise `ValueError` for the first value out of range; what needs a network or torch to tell is not looked at."""
    complete(config)
    for group in GROUPS:
        check_group(config, group)
    number("samples", config.samples, minimum=1, whole=True)
    word_or_number("batch", config.batch, "auto", minimum=1, whole=True)
    number("seed", config.seed, minimum=0, maximum=2**32 - 1, whole=True)
    number("budget.steps", config.budget.steps, minimum=1, whole=True)
    word_or_number("budget.threshold", config.budget.threshold, "auto", above=0)
    if config.budget.patience is not None:
        number("budget.patience", config.budget.patience, minimum=1, whole=True)
    number("null_samples", config.null_samples, minimum=2, whole=True)
    one_of("precision", config.precision, PRECISIONS)
    word_or_number("loss_scale", config.loss_scale, "auto", above=0)
    check_device(config.device)
    check_asking(config)
    check_cluster(config)
    if isinstance(steps := config.prior.get("steps"), int):
        check_solver_steps(config, steps)
    if "jumps" in config.prior:
        jumps = OmegaConf.to_container(config.prior).get("jumps")
        asked = {name: config.prior.get(name) for name in ("solver", "shift")}
        check_jumps(jumps, **asked, gradient_steps=config.gradient_steps)


def check_device(device):
    """`ValueError` for what is not the name of a device; whether this machine has it, torch knows."""
    if not DEVICE.fullmatch(device):
        raise ValueError(f"device={device}: no such device; use auto, cpu, cuda, cuda:1 (or another number) or mps")


def check_solver_steps(config: DictConfig, steps: int):
    """The same for what is bounded by the solver steps of the prior."""
    word_or_number("checkpoint", config.checkpoint, "auto", "all", "none", minimum=0, maximum=steps, whole=True)
    word_or_number("gradient_steps", config.gradient_steps, "all", minimum=1, maximum=steps, whole=True)


def check_evaluation(config: DictConfig):
    """The same for `equidiff evaluate`."""
    complete(config)
    check_study(config)
    for name, bounds in (("tolerances", dict(above=0)), ("cutoffs", dict(minimum=LEAST, maximum=1))):
        if not config[name]:
            raise ValueError(f"{name}=[]: must be a list of numbers, such as {name}=[0.1,0.5]")
        for value in config[name]:
            number(name, value, **bounds)
    for quality in config.jpeg:
        number("jpeg", quality, minimum=1, maximum=95, whole=True)
    number("likelihood", config.likelihood, minimum=0, whole=True)
    number("probes", config.probes, minimum=2, whole=True)
    number("likelihood_steps", config.likelihood_steps, minimum=2, whole=True)
    if config.output is not None:
        check_output(config.output)


def check_audit(config: DictConfig):
    """The same for `equidiff audit`."""
    complete(config)
    check_study(config)
    number("permutations", config.permutations, minimum=99, whole=True)
    for word in config.attribute:
        if word.endswith(".csv"):
            if not Path(word).is_file():
                raise ValueError(f"attribute={word}: there is no such file; give a CSV file of labels")
            if config.real is None:
                raise ValueError(f"attribute={word}: labels are of real pictures; give their folder, real=FOLDER")
        elif not DOTTED.fullmatch(word):
            whole = [other for other in options("target") if is_whole("target", other)]
            if word not in whole:
                near = choices(word, whole)
                raise ValueError(f"attribute={word}: must be module.function, a .csv file or a target; {near}")
    if config.output is not None and not Path(config.output).is_dir():
        raise ValueError(f"output={config.output}: there is no such folder; give one for audit.html and audit.csv")


def check_study(config: DictConfig):
    """The same for what everything that measures finished runs takes."""
    check_device(config.device)
    number("null_samples", config.null_samples, minimum=16, whole=True)
    check_typical(config)
    number("seed", config.seed, minimum=0, maximum=2**32 - 1, whole=True)
    number("batch", config.batch, minimum=1, whole=True)
    if config.heldout != "auto":
        alone = isinstance(config.heldout, str)
        if not alone and not OmegaConf.is_list(config.heldout):
            raise ValueError(f"heldout={config.heldout}: must be auto, a name or a list such as [smallresnet]")
        known = options("target")
        for name in [config.heldout] if alone else config.heldout:
            if name not in known or not is_whole("target", name):
                whole = [other for other in known if is_whole("target", other)]
                one_of("heldout", name, ["auto", *whole] if alone else whole)
    if config.real is not None and not Path(config.real).is_dir():
        raise ValueError(f"real={config.real}: there is no such folder; give a folder of pictures")


def check_explaining(config: DictConfig):
    """The same for `equidiff explain`."""
    complete(config)
    check_device(config.device)
    check_explanation(config)


def check_typical(config: DictConfig):
    """`ValueError` for what the set's own law cannot be taken from."""
    if config.typical != "auto" and not (isinstance(config.typical, str) and is_run(config.typical)):
        try:
            number("typical", config.typical, minimum=0, whole=True)
        except ValueError as error:
            raise ValueError(f"{error}, auto, or the directory of a run of method=rejection") from None
    for name in ("typical_tolerance", "bandwidth"):
        number(name, config[name], above=0)


def check_output(output):
    """`ValueError` if the table cannot be written to the file `output`, or that is a file of another kind."""
    file = Path(output).resolve()
    if not file.parent.is_dir():
        raise ValueError(f"output={output}: there is no folder {file.parent}")
    if file.suffix.lower() != ".csv" or file.is_dir():
        raise ValueError(f"output={output}: must be a .csv file")
    if file.exists() and (content := file.read_bytes()) and not content.startswith(EVALUATIONS_BEGIN.encode()):
        raise ValueError(f"output={output}: exists and was not made by equidiff evaluate; choose another name")


OF_RUNS = {"evaluate": check_evaluation, "audit": check_audit, "explain": check_explaining}
