"""The networks that take part in a user's own code, and what tells their weights from others.

They are looked for in attributes, lists and dicts, in what functions enclose, bind and take by default, and under the
names of their own file that functions use. A tensor that belongs to no network is not looked for.
"""

import functools
import hashlib
import sys
from types import CodeType, FunctionType, MethodType, ModuleType

import torch

DEEPEST = 8  # steps from one object to the next
LIBRARIES = {"equidiff_cli", "torch", "torchvision", "timm", "diffusers", "numpy", *sys.stdlib_module_names}


class Modules:
    """The outermost networks that are reached from objects, each once, by where they were found."""

    def __init__(self):
        self.seen = {}  # by id; held, so that no id is used again

    def of(self, one, path="", depth=0):
        """(path, module) of every network in an object that was not found before."""
        if id(one) in self.seen or depth > DEEPEST or isinstance(one, (torch.Tensor, str, type, ModuleType)):
            return
        self.seen[id(one)] = one
        inside = within(one)
        if isinstance(one, torch.nn.Module):
            yield path, one
            self.seen |= {id(inner): inner for inner in one.modules()}
            inside = {  # lists of layers that it does not know of
                f"{name}.{key}": value
                for name, inner in one.named_modules()
                for key, value in vars(inner).items()
                if not key.startswith("_")
            }
        for name, value in inside.items():
            yield from self.of(value, f"{path}.{name}".strip("."), depth + 1)

    def digests(self, one):
        """SHA-256 of the state of every network in an object that was not found before, by its kind and place."""
        found = {f"{type(module).__name__}{path and f' ({path})'}": module for path, module in self.of(one)}
        return {name: digest(module) for name, module in found.items() if module.state_dict()}


def digest(module):
    """SHA-256 of a network's state: names, types, shapes and values of its parameters and buffers."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):  # of quantised layers
            total.update(f"{name} {value}".encode())
            continue
        value = value.detach().cpu()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        value = value.int_repr() if value.is_quantized else value.to_dense() if value.is_sparse else value
        total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def within(one):
    """What an object holds or uses, by name."""
    if isinstance(one, dict):
        return {str(key) if isinstance(key, (str, int)) else "key": value for key, value in one.items()}
    if isinstance(one, (list, tuple)):
        return {str(i): value for i, value in enumerate(one)}
    if isinstance(one, functools.partial):
        return {"func": one.func, "args": one.args, "keywords": one.keywords}
    if isinstance(one, (MethodType, staticmethod, classmethod)):
        return {"self": getattr(one, "__self__", None), "function": one.__func__}
    if isinstance(one, FunctionType):
        return used(one)
    held = dict(getattr(one, "__dict__", {}))
    if not of_library(type(one)):  # its methods, and what all objects of its class share
        held |= {f"class.{name}": value for kind in type(one).__mro__[:-1] for name, value in vars(kind).items()}
    return held


def used(function):
    """What a function encloses, takes by default, and uses of its file and of modules that this names."""
    found = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not there yet
            continue
    if of_library(function):
        return found
    names = names_in(function.__code__)
    for name in names & function.__globals__.keys():
        value = found[name] = function.__globals__[name]
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in LIBRARIES:
            found |= {f"{name}.{key}": vars(value)[key] for key in names & vars(value).keys()}
    return dict(sorted(found.items()))


def names_in(code):
    """Names that code, and code in it, may look up."""
    return set(code.co_names).union(*(names_in(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def of_library(one):
    """Whether a class or a function is part of what nobody replaces between two runs."""
    return str(one.__module__).partition(".")[0] in LIBRARIES
