"""Points: what a query may be, files that hold every digit, and the coordinates that the loop works in."""

import numpy as np
import pytest
import torch

from equidiff_cli.circles.plane import from_plane, to_plane
from equidiff_cli.circles.points import SHIPPED, Points

MEDIUM = Points()


@pytest.mark.parametrize("text", ["0.9,0.3", "0.9 0.3", " 0.9 ,  0.3 ", "+.9, 3e-1"])
def test_two_numbers_are_a_point(text):
    x = MEDIUM.query(text, 1)
    assert x.shape == (2, 1, 1) and x.dtype == torch.float32
    assert to_plane(x[None])[0].tolist() == pytest.approx([0.9, 0.3], abs=1e-6)


def test_shipped_points_have_names():
    for name, point in SHIPPED.items():
        assert to_plane(MEDIUM.query(name, 1)[None])[0].tolist() == pytest.approx(point, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("middle", "query=middle: not a point; give a point of the plane, such as 'query=0.9 0.3', or for a shipped"),
        ("0.9", "not a point"),
        ("0.9 0.3 0.1", "not a point"),
        ("", "not a point"),
        ("0.9;0.3", "not a point"),
        ("dog.png", "use one of inner, boundary, outer"),
        ("2.5 0", "query=2.5 0: outside the plane; both numbers must be from -2 to 2"),
        ("0 -2.001", "outside the plane"),
        ("nan 0", "outside the plane"),
        ("0 inf", "outside the plane"),
        ("a\nb", "query=a b: not a point"),
    ],
)
def test_what_is_no_point_of_the_plane_is_refused_in_one_line(text, words):
    with pytest.raises(ValueError) as error:
        MEDIUM.query(text, 1)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_file_gives_the_same_point_back(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for i in range(300):
        x = torch.rand(2, 1, 1, generator=generator)
        x[0] = torch.tensor([0.0, 1.0, 0.5, 1e-7, x[0].item()])[i % 5]
        MEDIUM.write(x, tmp_path / "p.txt")
        assert torch.equal(MEDIUM.read(tmp_path / "p.txt"), x), x


def test_a_file_is_a_line_with_two_coordinates(tmp_path):
    MEDIUM.write(from_plane(torch.tensor([[0.5, -1.25]]))[0], tmp_path / "p.txt")
    assert (tmp_path / "p.txt").read_text() == "0.5 -1.25\n"
    assert np.loadtxt(tmp_path / "p.txt").tolist() == [0.5, -1.25]


def test_a_point_that_is_not_finite_can_be_kept(tmp_path):
    MEDIUM.write(torch.full((2, 1, 1), float("nan")), tmp_path / "p.txt")
    assert MEDIUM.read(tmp_path / "p.txt").isnan().all()


def test_the_square_is_the_range_of_a_picture():
    corners = torch.tensor([[-2.0, -2.0], [2.0, 2.0], [0.0, 1.0]])
    assert from_plane(corners)[:, :, 0, 0].tolist() == [[0.0, 0.0], [1.0, 1.0], [0.5, 0.75]]
    assert torch.equal(to_plane(from_plane(corners)), corners)


def test_another_point_is_another_query():
    first, same, other = (MEDIUM.identify(MEDIUM.query(text, 1)) for text in ("0.9 0.3", "0.90,0.30", "0.9 0.31"))
    assert first == same != other
