"""What `equidiff explain` accepts, told without torch and without captum."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from equidiff_cli.checks import number, one_of, word_or_number

ATTRIBUTIONS = (
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "gradient_shap",
    "guided_backprop",
    "deeplift",
    "gradcam",
    "occlusion",
    "lime",
    "kernel_shap",
)
BASELINES = ("mean", "black", "unguided")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FEWEST = 4  # pictures of a concept: some to find its direction with, some to try it on


def check_explanation(config: DictConfig):
    """`ValueError` for the first value out of range; the keys are known to be there."""
    if config.methods != "all":
        for name in several("methods", config.methods, "[saliency,gradcam]", "all"):
            one_of("methods", name, ATTRIBUTIONS)
    one_of("baseline", config.baseline, BASELINES)
    number("most", config.most, minimum=1, whole=True)
    number("null_samples", config.null_samples, minimum=16, whole=True)
    number("cells", config.cells, minimum=2, maximum=32, whole=True)
    number("steps", config.steps, minimum=2, whole=True)
    number("draws", config.draws, minimum=8, whole=True)
    number("top", config.top, above=0, maximum=0.5)
    number("near", config.near, minimum=0)
    number("counterparts", config.counterparts, minimum=3, whole=True)
    word_or_number("clusters", config.clusters, minimum=0, whole=True)
    number("seed", config.seed, minimum=0, maximum=2**32 - 1, whole=True)
    number("batch", config.batch, minimum=2, whole=True)
    if config.layers != "auto":
        several("layers", config.layers, "[layer2,layer3]", "auto")
    if config.concepts is not None:
        concepts_in(config.concepts)
    if config.segmentation is not None:
        labels_in(config.segmentation)


def several(key, value, example, word):
    """The texts of a list, or of a text alone; `ValueError` for other things and for a list of nothing."""
    values = [value] if isinstance(value, str) else list(value) if OmegaConf.is_list(value) else []
    if not values or not all(isinstance(one, str) for one in values):
        raise ValueError(f"{key}={value}: must be {word} or a list such as {example}")
    return values


def concepts_in(folder):
    """concept -> the files of its pictures, in the order of their names; `ValueError` where one has too few."""
    found = {below.name: pictures_in(below) for below in folders_in("concepts", folder)}
    for name, files in found.items():
        if len(files) < FEWEST:
            has = f"{len(files) or 'no'} picture{'s' * (len(files) != 1)}"
            raise ValueError(f"concepts={folder}: the concept {name} has {has}; at least {FEWEST} are needed")
    if not found:
        raise ValueError(f"concepts={folder}: has no folder in it; give FOLDER with FOLDER/striped/*.png and the like")
    return found


def labels_in(folder):
    """label -> {name of a picture without suffix: the file of its mask}; `ValueError` where nothing fits."""
    below = {path.name: path for path in folders_in("segmentation", folder)}
    pictures = {file.stem for file in pictures_in(below["pictures"])} if "pictures" in below else set()
    found = {
        path.name: {file.stem: file for file in pictures_in(path) if file.stem in pictures}
        for name, path in below.items()
        if name != "pictures"
    }
    if not any(found.values()):
        raise ValueError(
            f"segmentation={folder}: has no picture with a mask; give FOLDER/pictures/a.png with FOLDER/wheel/a.png, a"
            " mask that is white where there is a wheel"
        )
    return {label: files for label, files in found.items() if files}


def folders_in(key, folder):
    """The folders in a folder, by name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{key}={folder}: there is no such folder")
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def pictures_in(folder):
    """The files of pictures in a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
