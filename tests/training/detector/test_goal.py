"""What the network is asked for: which cells answer, and what is wrong and how much."""

import pytest

torch = pytest.importorskip("torch", reason="the extra `training` is not installed")

from training.detector.goal import loss  # noqa: E402
from training.detector.net import STRIDES, PlateNet, cells  # noqa: E402

SIZE = (384, 288)
POINTS, PACES = cells([(SIZE[1] // s, SIZE[0] // s) for s in STRIDES])


def plate(x: float, y: float, width: float, height: float, slant: float = 0.0):
    corners = ((x, y), (x + width, y + slant), (x + width, y + height + slant), (x, y + height))
    return torch.tensor([corners], dtype=torch.float32)


def truth(quads, exact: bool = True, doubtful=None):
    none = torch.zeros((0, 4, 2))
    return quads, torch.full((len(quads),), exact), none if doubtful is None else doubtful


def said(quad=None, score: float = -8.0, at=None):
    """An answer: every cell says ``quad`` (nothing much if None), those ``at`` are sure."""
    answer = torch.zeros(1, len(POINTS), 9)
    answer[..., 0] = score
    answer[..., 1:] = POINTS.repeat(1, 4) if quad is None else quad.reshape(8)
    if at is not None:
        answer[0, at, 0] = 8.0
    return answer


def inside(quad, share: float = 0.2):
    """Cells near a plate's middle."""
    low, high = quad[0].amin(0), quad[0].amax(0)
    middle, half = (low + high) / 2, (high - low) * share
    return ((POINTS - middle).abs() <= torch.maximum(half, torch.tensor(4.0))).all(1)


def test_right_corners_cost_nothing_and_wrong_ones_by_how_far_they_are_off():
    quad = plate(100, 100, 120, 30, slant=8)
    right = loss(said(quad), [truth(quad)], SIZE)
    near = loss(said(quad + 3), [truth(quad)], SIZE)
    far = loss(said(quad + 20), [truth(quad)], SIZE)
    for part in ("box", "corner"):
        assert right[part] == pytest.approx(0, abs=1e-4)
        assert 0 < near[part] < far[part]


def test_a_plate_of_which_only_the_box_is_known_asks_only_for_the_box():
    box, slanted = plate(100, 100, 120, 38), plate(100, 100, 120, 30, slant=8)
    parts = loss(said(slanted), [truth(box, exact=False)], SIZE)
    assert parts["box"] == pytest.approx(0, abs=1e-4)
    assert parts["corner"] == 0


def test_certainty_is_wanted_at_the_plate_and_nowhere_else():
    quad = plate(100, 100, 120, 30)
    level = (PACES == 16) & inside(quad)
    surer = loss(said(quad, at=level), [truth(quad)], SIZE)["score"]
    silent = loss(said(quad), [truth(quad)], SIZE)["score"]
    elsewhere = (PACES == 16) & (POINTS[:, 1] > 250)
    wrong = loss(said(quad, at=level | elsewhere), [truth(quad)], SIZE)["score"]
    assert surer < silent
    assert wrong > surer + 1


def test_of_a_doubtful_plate_nothing_is_asked():
    quad = plate(100, 100, 120, 30)
    none = torch.zeros((0, 4, 2))
    says = said(quad, at=(PACES == 16) & inside(quad))
    doubtful = loss(says, [truth(none, doubtful=quad)], SIZE)["score"]
    absent = loss(says, [truth(none)], SIZE)["score"]
    assert doubtful < 0.1 < absent


@pytest.mark.parametrize("width", [18, 40, 70, 120, 160, 250, 340])
def test_plates_of_every_size_are_answered_for(width):
    quad = plate(20, 120, width, width / 4.6)
    parts = loss(said(quad), [truth(quad)], SIZE)
    silent = loss(said(quad), [truth(torch.zeros((0, 4, 2)))], SIZE)
    assert parts["score"] > silent["score"] + 0.5


def test_two_plates_side_by_side_are_both_learned():
    left, right = plate(40, 100, 80, 20), plate(200, 100, 80, 20)
    both = torch.cat((left, right))
    parts = loss(said(left), [truth(both)], SIZE)
    assert parts["box"] > 0.5, "cells that say the left one are wrong about the right one"


def test_cells_are_those_of_the_network_in_any_size():
    net = PlateNet((8, 16, 24, 48, 64)).eval()
    for height, width in ((288, 384), (96, 416)):
        with torch.no_grad():
            answer = net(torch.zeros(2, 3, height, width))
        points, paces = cells([(height // s, width // s) for s in STRIDES])
        assert answer.shape == (2, len(points), 9)
        middles = answer[0, :, 1:].view(-1, 4, 2).mean(1)
        assert ((middles - points).norm(dim=1) < 2 * paces).all(), "before training: around it"
