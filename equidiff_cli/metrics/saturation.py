"""How much of a picture is black or white in a channel: where contrast, or noise that left its shell, has driven it."""

DARK, BRIGHT = 5, 250  # of 255


def saturation(x):
    """The share (N,), in [0, 1], of the values of pictures (N, C, H, W) in [0, 1] that are at most 5 or at least 250
    of 255, as rounded to 8 bits.
    """
    levels = (x * 255).round()
    return ((levels <= DARK) | (levels >= BRIGHT)).flatten(1).double().mean(1)
