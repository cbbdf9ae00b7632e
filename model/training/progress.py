"""Progress of one training run: a live bar on a terminal, else one plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

FIRST_LINE_S, LINE_INTERVAL_S = 2.0, 10.0  # of plain lines, seconds


class TrainingProgress:
    """Reports steps of one run with epoch, best value so far and time left."""

    def __init__(
        self,
        title: str,
        *,
        epochs: int,
        steps_per_epoch: int,
        done_epochs: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start measuring.

        Args:
            title: name of the net, starts every line.
            epochs, steps_per_epoch: size of the run.
            done_epochs: epochs of earlier runs that were resumed.
            stream: receives the lines, default stderr.
            clock: seconds, monotonic.
        """
        self.title, self.epochs, self.steps_per_epoch = title, epochs, steps_per_epoch
        self._stream = sys.stderr if stream is None else stream
        self._clock, self._started = clock, clock()
        self._next_line = self._started + FIRST_LINE_S
        self._first_step = self._step = done_epochs * steps_per_epoch
        self._best = ""
        self._bar: tqdm[object] | None = None
        if self._stream.isatty():
            total = epochs * steps_per_epoch
            self._bar = tqdm(
                total=total,
                initial=self._step,
                file=self._stream,
                unit="step",
                leave=False,
                dynamic_ncols=True,
            )

    def set_best(self, description: str) -> None:
        """Show the best value so far, with its name and unit."""
        self._best = description

    def advance(self) -> None:
        """Count one step and report when it is time."""
        self._step += 1
        if self._bar is not None:
            epoch = min(self.epochs, 1 + (self._step - 1) // self.steps_per_epoch)
            starts_epoch = (self._step - 1) % self.steps_per_epoch == 0
            self._bar.set_postfix_str(self._best, refresh=False)
            self._bar.set_description(f"{self.title} epoch {epoch}/{self.epochs}", starts_epoch)
            self._bar.update()
        elif self._clock() >= self._next_line:
            self._next_line = self._clock() + LINE_INTERVAL_S
            self._stream.write(self._plain_line() + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Remove the live bar."""
        if self._bar is not None:
            self._bar.close()

    def _plain_line(self) -> str:
        epoch, step = divmod(self._step - 1, self.steps_per_epoch)
        rate = (self._clock() - self._started) / (self._step - self._first_step)
        left = rate * (self.epochs * self.steps_per_epoch - self._step)
        best = f", best {self._best}" if self._best else ""
        return (
            f"{self.title}: epoch {epoch + 1}/{self.epochs}, step {step + 1}/"
            f"{self.steps_per_epoch}{best}, at most {format_duration(left)} left"
        )


def format_duration(seconds: float) -> str:
    """Seconds as text: `42 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
