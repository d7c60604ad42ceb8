"""The phone's ear: a time line without holes, whatever comes late, not at all, or with a part missing."""

import numpy as np

from gateway.phone.ear import Ear

RATE, FRAME = 8000, 160


class Line:
    """An Ear with what came out of it."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.sounds = 0
        self.heard: list[bytes] = []
        self.ear = Ear(RATE, self.pcm.extend, self._sound)
        self._index = 0

    def _sound(self) -> None:
        self.sounds += 1

    def frame(self, now: float, level: int = 1000, lost: int = 0) -> None:
        self._index += lost
        self.ear.heard(np.full(FRAME, level, dtype="<i2").tobytes(), self._index, now)
        self._index += FRAME

    @property
    def samples(self) -> list[int]:
        return [int(value) for value in np.frombuffer(bytes(self.pcm), dtype="<i2")]


def test_frames_stand_one_after_the_other() -> None:
    line = Line()
    for number in range(10):
        line.frame(0.02 * number, number + 1)
    assert line.samples == [number + 1 for number in range(10) for _ in range(FRAME)]


def test_frames_that_come_late_and_together_are_no_gap() -> None:
    line = Line()
    line.frame(0.02)
    line.ear.heard(np.full(50 * FRAME, 1000, dtype="<i2").tobytes(), FRAME, 1.02)  # the machine was busy for a second
    assert 0 not in line.samples
    assert len(line.samples) == 51 * FRAME


def test_while_no_media_comes_time_passes_as_silence() -> None:
    line = Line()
    line.frame(0.02)
    for tenth in range(1, 11):
        line.ear.catch_up(0.02 + tenth / 10)
    line.frame(1.04)
    assert abs(len(line.samples) - 1.04 * RATE) <= 0.21 * RATE
    assert line.samples[-FRAME:] == [1000] * FRAME
    assert line.samples.count(1000) == 2 * FRAME


def test_samples_that_were_lost_leave_their_room() -> None:
    line = Line()
    line.frame(0.02)
    line.frame(0.04, lost=3 * FRAME)
    assert line.samples == [1000] * FRAME + [0] * 3 * FRAME + [1000] * FRAME


def test_time_counts_from_the_answer() -> None:
    line = Line()
    line.ear.begin(10.0)
    line.frame(11.0)
    assert len(line.samples) == RATE


def test_the_first_sound_is_told_once_and_noise_is_none() -> None:
    line = Line()
    line.frame(0.02, 8)
    assert line.sounds == 0
    line.frame(0.04)
    line.frame(0.06)
    assert line.sounds == 1


def test_listening_begins_now_and_gives_what_was_asked_for() -> None:
    line = Line()
    line.frame(0.02, 1)
    line.ear.listen(30, line.heard.append)
    line.frame(0.04, 2)
    assert line.heard == []
    line.frame(0.06, 3)
    assert line.heard == [np.array([2] * 160 + [3] * 80, dtype="<i2").tobytes()]
    line.ear.listen(1000, line.heard.append)
    line.frame(0.08, 4)
    line.ear.end()
    assert len(line.heard[1]) == 2 * FRAME, "at the end, what there is"
