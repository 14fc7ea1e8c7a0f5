"""The days until the bills, as the demo and the chaos run play them."""

from collections.abc import Callable, Iterable
from functools import partial

from millrace.story.acts import backstage, month, settlement, training
from millrace.story.cast import MONTH, Organisation
from millrace.story.people import StoryError
from millrace.story.stage import Stage


def play(
    stage: Stage,
    crowd: month.Crowd,
    cast: list[Organisation],
    days: Iterable[int],
    *,
    evening: Callable[[int], None],
    arrived: Callable[[int], None] = lambda day: None,
) -> training.Training:
    """Play the days of the month that are named, in order; Ada, who comes on the first of them, trains meanwhile.

    `arrived(day)` is called when a customer has come, `evening(day)` at the end of each day.
    """
    stage.move_to(MONTH)  # what is set up is dated to the month, as all that follows
    house, learning = backstage.prepare(), None
    for day in days:
        month.play_day(stage, house, crowd, day, cast, partial(arrived, day))
        if learning is None:
            settlement.wait_quiet(stage)
            learning = training.training_of(stage, crowd.of("trainer"))
        learning.advance()
        evening(day)
    if learning is None:
        raise StoryError("the cast has no trainer.")
    return learning
