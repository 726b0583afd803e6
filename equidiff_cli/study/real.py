"""A folder of real pictures to compare samples with."""

from pathlib import Path

import torch

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.pictures.read import load


def pictures_of(folder, size, most):
    """Up to `most` pictures of a folder and those below it, (R, 3, size, size), cropped and resized as a query is, and
    their files."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"real={folder}: there is no such folder; give a folder of pictures")
    found, files = [], []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(to_tensor(load(file, size, folder)))
        except ValueError:
            continue
        files.append(file)
        if len(found) == most:
            break
    if len(found) < 2:
        raise ValueError(f"real={folder}: holds {len(found)} pictures; at least 2 are needed")
    return torch.stack(found), files
