import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from towers.training.loop import Step
from vitrine.training_display import losses_of, training_display

STAGES = (4, 40)


class Training:
    """Two stages, of which every step takes half a second of a clock of its own."""

    def __init__(self, terminal: bool, first: int = 1) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=terminal, width=120, color_system=None)
        self.now, self.first = 0.0, first

    def run(self) -> str:
        with training_display(STAGES, self.console, lambda: self.now) as show:
            for step in self.steps():
                self.now += 0.5
                show(step)
        return self.file.getvalue()

    def steps(self) -> Iterator[Step]:
        for number in range(self.first, 45):
            stage = "pictures" if number <= 4 else "[retrieval]"
            terms = {"pictures": 1.0} if number <= 4 else {"fused": 1 / number, "text": 0.5}
            yield Step(number, 44, stage, terms)


def test_plain_lines_name_stage_step_loss_terms_speed_and_what_is_left() -> None:
    lines = Training(terminal=False).run().splitlines()
    assert lines[0] == "1/2 pictures: step 1 of 4, loss 1.000"
    assert "1/2 pictures: step 4 of 4, loss 1.000, 2.00 steps/s, 0:00 left in this stage" in lines
    last_but_one = "2/2 [retrieval]: step 36 of 40, loss 0.525 (fused 0.025, text 0.500), "
    assert last_but_one + "2.00 steps/s, 0:02 left in this stage" in lines
    assert 10 <= sum("retrieval" in line for line in lines) <= 12


def test_a_slow_stage_is_heard_of_every_minute() -> None:
    training = Training(terminal=False)
    with training_display((1000,), training.console, lambda: training.now) as show:
        for number in range(1, 51):
            training.now += 31.0
            show(Step(number, 1000, "joint", {"fused": 1.0}))
    lines = training.file.getvalue().splitlines()
    assert len(lines) == 1 + 24  # step 1, and every second one after it
    assert lines[-1].endswith("0.03 steps/s, 8:11:21 left in this stage")


@pytest.mark.parametrize(("first", "shown"), [(1, True), (20, False)])
def test_a_terminal_has_a_bar_for_every_stage_from_where_it_goes_on(first: int, shown: bool) -> None:
    training = Training(terminal=True, first=first)
    text = training.run()
    assert ("1/2 pictures" in text) == shown
    assert "2/2 [retrieval]" in text
    assert "40/40" in text
    assert "loss 0.523" in text


def test_a_single_term_is_not_said_twice() -> None:
    assert losses_of(1.0, {"pictures": 1.0}) == "loss 1.000"
