"""The window: how many packets may be on the way, from acknowledgement times alone."""

from __future__ import annotations

import pytest

from drivers.mqtt.window import FLOOR_AGE_S, QUEUE_FAR_S, QUEUE_HIGH_S, START, Flight, Window


def drive(window: Window, packets: int, latency_s: float, now_s: float = 0.0, *, full: bool = True) -> float:
    """Sends and acknowledges `packets` one after another; returns the time after."""
    for _ in range(packets):
        window.in_flight += 1
        window.acknowledged(Flight(now_s, full), now_s + latency_s)
        now_s += latency_s
    return now_s


def test_starts_small_and_grows_to_the_limit_when_full_and_prompt() -> None:
    window = Window(16)
    assert window.size == START
    drive(window, 14, 0.6)
    assert window.size == 16
    drive(window, 5, 0.6)
    assert window.size == 16


def test_does_not_grow_while_it_is_not_the_limit() -> None:
    window = Window(16)
    drive(window, 50, 0.05, full=False)
    assert window.size == START


@pytest.mark.parametrize(
    ("latency_s", "size"),
    [(0.7, 9), (0.6 + QUEUE_HIGH_S - 0.01, 8), (0.6 + QUEUE_HIGH_S + 0.01, 6), (0.6 + QUEUE_FAR_S + 0.01, 4)],
)
def test_queueing_decides(latency_s: float, size: int) -> None:
    window = Window(16)
    now_s = drive(window, 6, 0.6)
    assert window.size == 8
    drive(window, 1, latency_s, now_s)
    assert window.size == size


def test_shrinks_once_for_one_queue_not_once_for_each_packet_in_it() -> None:
    window = Window(16)
    now_s = drive(window, 14, 0.1)
    flights = [window.sent(now_s + n / 1000) for n in range(16)]
    for n, flight in enumerate(flights):
        window.acknowledged(flight, now_s + 2.0 + n / 10)
    assert window.size == 12
    assert window.in_flight == 0


def test_never_below_one_nor_after_time_outs() -> None:
    window = Window(16)
    for n in range(10):
        window.timed_out(window.sent(n * 100.0), n * 100.0 + 30)
    assert window.size == 1


def test_a_route_that_became_longer_is_learnt() -> None:
    window = Window(16)
    now_s = drive(window, 14, 0.02)
    now_s = drive(window, 20, 0.62, now_s)
    assert window.size == 1
    now_s = drive(window, round(2 * FLOOR_AGE_S / 0.62) + 2, 0.62, now_s)
    assert window.size == 16


def test_on_a_64_kbit_line_an_alarm_waits_for_about_one_packet() -> None:
    """A line of 8000 B/s and 600 ms round trip, kept full of 2 kB packets: what is queued settles below a second."""
    window, now_s, line_free_s = Window(16), 0.0, 0.0
    on_the_way: list[tuple[float, Flight]] = []
    waits_s = []
    alarm = window.sent(0.0)
    window.acknowledged(alarm, 0.6)
    while now_s < 120.0:
        while window.in_flight < window.size:
            line_free_s = max(line_free_s, now_s) + 2048 / 8000
            on_the_way.append((line_free_s + 0.6, window.sent(now_s)))
        waits_s.append((now_s, line_free_s - now_s))
        now_s, flight = on_the_way.pop(0)
        window.acknowledged(flight, now_s)
    assert max(wait_s for at_s, wait_s in waits_s if at_s > 10.0) < 1.3


def test_a_new_connection_forgets() -> None:
    window = Window(16)
    drive(window, 14, 0.1)
    window.restart()
    assert (window.size, window.in_flight) == (START, 0)
    drive(window, 3, 5.0)
    assert window.size == START + 3
