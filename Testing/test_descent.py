"""Looking for the lowest point of a grid."""

import pytest

from TumorSynthLib.descent import Point, descend

AXES = (tuple(float(n) for n in range(6)), tuple(float(n) for n in range(5)))


class Bowl:
    """A skewed bowl, which counts what it is asked."""

    def __init__(self, bottom: Point) -> None:
        self.bottom, self.asked = bottom, list[Point]()

    def __call__(self, point: Point) -> tuple[float, Point]:
        self.asked.append(point)
        x, y = (one - other for one, other in zip(point, self.bottom, strict=True))
        return x * x + y * y + 0.5 * x * y, point


@pytest.mark.parametrize("start", [(0.0, 0.0), (5.0, 4.0), (3.0, 1.0), (5.0, 0.0)])
@pytest.mark.parametrize("bottom", [(0.0, 0.0), (2.0, 3.0), (5.0, 4.0)])
def test_the_bottom_is_found_and_no_point_is_made_twice(start: Point, bottom: Point) -> None:
    bowl = Bowl(bottom)
    assert descend(bowl, AXES, start, 0.0) == bottom
    assert len(bowl.asked) == len(set(bowl.asked)) < 30


def test_it_ends_where_the_cost_is_low_enough() -> None:
    bowl = Bowl((5.0, 0.0))
    assert descend(bowl, AXES, (0.0, 0.0), 4.0) == (3.0, 0.0)
    assert bowl.asked == [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]


def test_a_step_that_gains_too_little_is_not_taken() -> None:
    bowl = Bowl((5.0, 0.0))
    assert descend(bowl, AXES, (0.0, 0.0), 0.0, worth=4.0) == (3.0, 0.0), "the next step would gain 3"


def test_what_cannot_be_measured_is_never_better() -> None:
    nan = float("nan")
    assert descend(lambda point: (nan, point), AXES, (2.0, 2.0), 0.0) == (2.0, 2.0)
    assert descend(lambda point: (nan if point[0] else 1.0, point), AXES, (0.0, 2.0), 0.0) == (0.0, 2.0)
    assert descend(lambda point: (float("inf"), point), AXES, (2.0, 2.0), 0.0) == (2.0, 2.0)


def test_one_point_is_made_all_the_same() -> None:
    bowl = Bowl((1.0, 1.0))
    assert descend(bowl, ((1.0,), (0.0,)), (1.0, 0.0), 0.0) == (1.0, 0.0)
