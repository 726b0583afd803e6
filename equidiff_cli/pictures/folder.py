"""A folder of real pictures."""

from pathlib import Path

import torch

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.pictures.read import load


def pictures_of(folder, size, most=None, key="real", least=2):
    """Up to `most` pictures of a folder and those below it, (R, 3, size, size), cropped and resized as a query is, and
    their files.

    Args:
        most: None for all of them.
        key, least: what the folder is called, and how many pictures it has to hold, else `ValueError`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{key}={folder}: there is no such folder; give a folder of pictures")
    found, files = [], []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(to_tensor(load(file, size, folder)))
        except ValueError:
            continue
        files.append(file)
        if len(found) == most:
            break
    if len(found) < least:
        raise ValueError(f"{key}={folder}: holds {len(found)} pictures; at least {least} are needed")
    return torch.stack(found), files
