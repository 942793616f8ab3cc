"""Loops: every frame is drawn, the still is the last one, and bad wishes are refused."""

import base64
import io
import re

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from agreement import Rule
from scoredrift import plots
from scoredrift.plots import loop


def dot(fig, k):
    ax = fig.gca()
    ax.plot([k], [0.0], "o", color="black", markersize=20)
    ax.set(xlim=(-1, 4), ylim=(-1, 1))
    ax.axis("off")


@pytest.fixture
def found():
    return loop(dot, 4, alt='a dot moves to the "right"', figsize=(2, 1), pause=0.05)


def left_of_dot(image: Image.Image) -> int:
    """Column of the leftmost dark pixel."""
    return image.convert("L").point(lambda v: 255 * (v < 100)).getbbox()[0]


def test_the_frames_move_and_the_still_is_the_last(found):
    moving, still = Image.open(io.BytesIO(found.moving)), Image.open(io.BytesIO(found.still))
    assert moving.n_frames == 4
    places = []
    for k in range(4):
        moving.seek(k)
        places.append(left_of_dot(moving))
    assert places == sorted(set(places))
    assert abs(left_of_dot(still) - places[-1]) <= 2


def test_the_page_gets_both_and_a_text(found):
    page = found._repr_mimebundle_()["text/html"]
    kinds = re.findall(r'"data:image/(\w+);base64,([^"]+)"', page)
    assert [kind for kind, _ in kinds] == ["webp", "png"]
    assert [base64.b64decode(data) for _, data in kinds] == [found.moving, found.still]
    assert page.count('style="display: none"') == 1  # of the still; without the style sheet the loop is seen
    assert "prefers-reduced-motion" in page
    assert "&quot;right&quot;" in page


def test_pictures_inside_pages_are_not_compared_but_their_texts_are(found):
    def output(page):
        return [{"output_type": "execute_result", "data": {"text/html": page}, "metadata": {}}]

    page = found._repr_mimebundle_()["text/html"]
    other = loop(dot, 2, alt='a dot moves to the "right"', figsize=(2, 1))._repr_mimebundle_()["text/html"]
    rule = Rule(exact=True)
    assert rule.outputs(output(page), output(other)) == []
    assert rule.outputs(output(page), output(other.replace("a dot", "a square"))) != []


@pytest.mark.parametrize(
    ("frames", "more", "message"),
    [
        (1, {}, "frames = 1"),
        (3, {"alt": " "}, "alt = "),
        (3, {"pause": 0.0}, "pause = "),
        (2.5, {}, "frames = "),
    ],
)
def test_bad_wishes_are_refused(frames, more, message):
    with pytest.raises(ValueError, match=message):
        loop(dot, frames, **{"alt": "a dot", **more})


def test_a_mosaic_keeps_the_order_of_its_pictures():
    pictures = torch.arange(5, dtype=torch.uint8)[:, None, None].expand(5, 2, 3)
    ax = plt.figure().gca()
    plots.mosaic(ax, pictures, 2)
    shown = torch.as_tensor(ax.images[0].get_array().data.copy())
    assert shown.shape == (6, 6)
    assert shown[::2, ::3].tolist() == [[0, 1], [2, 3], [4, 0]]
    plt.close()


def test_a_mosaic_in_colour_is_three_mosaics():
    pictures = torch.randint(256, (5, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    axes = plt.figure().subplots(4)
    plots.mosaic(axes[3], pictures, 2)
    whole = axes[3].images[0].get_array()
    assert (whole[8:, 6:] == 255).all()  # the place of a sixth is white
    for i in range(3):
        plots.mosaic(axes[i], pictures[:4, i], 2)
        assert (whole[:8, :, i] == axes[i].images[0].get_array()).all()
    plt.close()


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(2, 3, 3),
        torch.zeros(3, 3, dtype=torch.uint8),
        torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        None,
    ],
)
def test_what_is_no_picture_is_refused(pictures):
    with pytest.raises(ValueError, match=r"^pictures = "):
        plots.mosaic(plt.figure().gca(), pictures, 2)
