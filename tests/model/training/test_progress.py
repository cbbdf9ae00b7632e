import io

import pytest

from model.training.progress import TrainingProgress, format_duration


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_without_terminal_limits_plain_lines():
    now = [100.0]
    stream = io.StringIO()
    progress = TrainingProgress(
        "net", epochs=4, steps_per_epoch=25, done_epochs=1, stream=stream, clock=lambda: now[0]
    )

    for step in range(75):  # half a second a step
        now[0] += 0.5
        if step == 25:
            progress.set_best("loss 0.5000 nats")
        progress.advance()

    # first after 2 s (step 4), then every 10 s (20 steps)
    assert stream.getvalue().splitlines() == [
        "net: epoch 2/4, step 4/25, at most 36 s left",
        "net: epoch 2/4, step 24/25, at most 26 s left",
        "net: epoch 3/4, step 19/25, best loss 0.5000 nats, at most 16 s left",
        "net: epoch 4/4, step 14/25, best loss 0.5000 nats, at most 6 s left",
    ]


def test_progress_on_terminal_stays_on_one_line():
    stream = FakeTerminal()
    progress = TrainingProgress("net", epochs=2, steps_per_epoch=3, stream=stream)

    progress.set_best("loss 0.5000")
    for _ in range(6):
        progress.advance()
    progress.close()

    assert "\n" not in stream.getvalue()
    assert "net epoch" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_format_duration_uses_two_units(seconds: float, text: str):
    assert format_duration(seconds) == text
