"""The plane, and points of it as the loop knows them: pictures of one pixel with two channels."""

EXTENT = 2.0  # the plane that is looked at is the square [-EXTENT, EXTENT]^2


def to_plane(x):
    """Points as the loop knows them, (N, 2, 1, 1) in [0, 1] -> coordinates (N, 2) in [-2, 2]."""
    return (x.flatten(1) * 2 - 1) * EXTENT


def from_plane(points):
    """Coordinates (N, 2) -> points as the loop knows them, (N, 2, 1, 1)."""
    return ((points / EXTENT + 1) / 2)[:, :, None, None]
