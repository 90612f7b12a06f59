"""The order of the timing pass, and what it makes of what its sandboxes say; no codec is timed here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codecbench.execution import timings, workers
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.execution.timings import Point, groups, time_group
from codecbench.measure import timing
from codecbench.measure.timing import ROUNDS, Timing
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec

LIMITS = WorkerLimits(Path(), None, "cpu", threads=3)
IMAGES = np.zeros((12, 8, 8, 1), np.uint8)
SLOW, FAILING, REMEMBERING = 40, 77, 88


class Sandboxes:
    """Stands for the sandboxes of a test: keeps what they are asked, and answers with made-up times."""

    def __init__(self):
        self.asked, self.open, self.started, self.batches = [], 0, [], set()

    def __call__(self, role, threads, *limits):
        sandboxes = self
        sandboxes.open += 1
        sandboxes.started.append((role, threads))

        class Sandbox:
            cold = True

            def call(self, function, *arguments):
                if function is timing.usage:
                    return 1_000 if role == "encoding" else 2_000, None
                spec = arguments[0]
                sandboxes.asked.append((role, function.__name__, str(spec)))
                if spec.settings.get("level") == FAILING:
                    raise SandboxError("no luck", died=True)
                if function in (timing.first_encoding, timing.first_decoding):
                    cold, self.cold = (9.0 if self.cold else None), False
                    image_s = 0.3 if spec.settings.get("level") == SLOW and role == "decoding" else 1e-4
                    return timing.First(cold, image_s, [b"x"] * len(arguments[2]))
                sandboxes.batches.add((str(spec), arguments[2]))
                new = 9.0 if spec.settings.get("level") == REMEMBERING else 1.0
                return timing.Block(float(len(sandboxes.asked)), 0.5, 7, new)

            def close(self):
                sandboxes.open -= 1

            def stderr_tail(self):
                return "its last words"

        return Sandbox()

    def order(self):
        return [spec for role, name, spec in self.asked if name == "time_encoding" and role == "encoding"]


@pytest.fixture
def sandboxes(monkeypatch):
    found = Sandboxes()
    monkeypatch.setattr(workers, "Sandbox", found)
    return found


def point(name="jpeg", level=0, batched=False, dataset="digits", rounds=0):
    task = Task(dataset, CodecSpec.of(name, {"level": level}), tuple(range(12)), (8, 8, 1), (), "print")
    times = tuple(float(number) for number in range(rounds))
    found = Timing(12 if rounds else 0, times, times, 3, "cpu", encode_cpu_s=times, decode_cpu_s=times)
    return Point(task, batched, False, level == 0, found)


def run(points, seed=0):
    return list(time_group(points, IMAGES, LIMITS, seed))


def test_rounds_go_through_all_points_in_an_order_by_seed(sandboxes, monkeypatch):
    names = ["jpeg", "png", "webp"]
    run([point(name, level) for name in names for level in range(4)], seed=5)
    order = sandboxes.order()
    rounds = [order[start : start + 12] for start in range(0, len(order), 12)]
    assert len(rounds) == ROUNDS
    assert all(sorted(turn) == sorted(rounds[0]) for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) == ROUNDS, "each round has an order of its own"
    again = Sandboxes()
    monkeypatch.setattr(workers, "Sandbox", again)
    run([point(name, level) for name in names for level in range(4)], seed=5)
    assert again.order() == order
    assert sandboxes.started.count(("encoding", 3)) == sandboxes.started.count(("decoding", 3)) == 3
    assert sandboxes.open == again.open == 0


def test_what_a_point_has_at_the_end(sandboxes):
    single, batched = point("jpeg"), point("svd", batched=True)
    steps = run([single, batched])
    assert [step.rounds for step in steps] == [1] * 2 * ROUNDS
    for found in (single.found, batched.found):
        assert [len(times) for times in (found.encode_s, found.decode_s, found.encode_cpu_s)] == [ROUNDS] * 3
        assert (found.encode_peak_bytes, found.decode_peak_bytes) == (1_000, 2_000)
        assert (found.images, found.cold_encode_s, found.cold_decode_s) == (12, 9.0, 9.0)
    assert (single.found.batch, single.found.encode_latency_s) == (1, ())
    assert (batched.found.batch, len(batched.found.decode_latency_s)) == (12, ROUNDS)
    assert sandboxes.batches == {("jpeg:level=0", 1), ("svd:level=0", 12), ("svd:level=0", 1)}


def test_only_the_first_planned_point_of_a_codec_is_cold(sandboxes):
    points = [point(level=level) for level in range(6)]
    run(points, seed=3)
    assert [one.found.cold_encode_s for one in points] == [9.0] + [None] * 5


def test_rounds_that_are_there_are_not_taken_again(sandboxes):
    begun, fresh, done = point(level=0, rounds=2), point(level=2), point(level=3, rounds=ROUNDS)
    begun.found = replace(begun.found, cold_encode_s=5.0)
    run([begun, fresh, done])
    assert begun.found.cold_encode_s == 5.0, "taken once"
    assert begun.found.encode_s[:2] == (0.0, 1.0)
    assert sandboxes.order().count("jpeg:level=0") == ROUNDS - 2
    assert sandboxes.order().count("jpeg:level=3") == 0
    assert len(begun.found.encode_s) == len(fresh.found.encode_s) == ROUNDS


def test_slow_codecs_are_timed_on_fewer_images_and_rounds_of_another_number_are_not_mixed(sandboxes):
    slow = point(level=SLOW)
    run([slow])
    assert slow.found.images == len(slow.bitstreams) == 3, "as decoding is slow, in both directions"
    slow = point(level=SLOW, rounds=2)
    slow.found = replace(slow.found, images=2)
    run([slow])
    assert slow.found.images == 2, "as many as the rounds that are there"
    assert slow.found.encode_s[:2] == (0.0, 1.0)
    fewer = point(level=1, rounds=2)
    fewer.found = replace(fewer.found, images=40)
    run([fewer])
    assert fewer.found.images == 12
    assert len(fewer.found.encode_s) == ROUNDS
    assert fewer.found.encode_s[0] != 0.0, "begun anew"


def test_a_point_that_fails_is_tried_once_more_and_costs_no_other(sandboxes):
    bad, good = point(level=FAILING), point(level=1)
    steps = run([bad, good])
    assert bad.found.failed == "no luck"
    assert "its last words" in bad.found.details
    assert sandboxes.asked.count(("encoding", "first_encoding", f"jpeg:level={FAILING}")) == 2
    assert len(good.found.encode_s) == ROUNDS
    assert sum(step.rounds for step in steps) == 2 * ROUNDS
    assert sandboxes.open == 0


def test_a_point_that_remembers_has_no_times(sandboxes):
    bad, good = point(level=REMEMBERING), point(level=1)
    run([bad, good])
    assert (bad.found.failed, bad.found.complete) == (
        "remembers what it saw: encoding new images takes 9 times as long",
        False,
    )
    assert len(bad.found.encode_s) == len(bad.found.encode_new) == ROUNDS, "kept beside the reason"
    assert good.found.complete


def test_sandboxes_end_with_a_pass_that_is_left(sandboxes):
    steps = time_group([point()], IMAGES, LIMITS, 0)
    next(steps)
    assert sandboxes.open == 2
    steps.close()
    assert sandboxes.open == 0


def test_groups_bound_how_many_processes_live_at_once():
    points = [point(f"codec{number}", level, dataset=label) for label in "ab" for number in range(11) for level in "xy"]
    found = list(groups(points, seed=1))
    assert sum(map(len, found)) == len(points)
    for group in found:
        assert len({one.task.dataset for one in group}) == 1
        assert len({one.task.codec.name for one in group}) <= timings.GROUP
    assert max(len({one.task.codec.name for one in group}) for group in groups(points, 1, "cuda")) == 2
    assert [one.task for group in groups(points, 1) for one in group] == [one.task for g in found for one in g]
    assert [one.task for group in groups(points, 2) for one in group] != [one.task for g in found for one in g]


def test_points_on_other_images_are_timed_apart():
    small, large = point("jpeg"), point("png")
    large.task = replace(large.task, shape=(16, 16, 3))
    other = point("webp")
    other.task = replace(other.task, indices=tuple(range(5, 12)))
    assert sorted(len(group) for group in groups([small, point("avif"), large, other], 0)) == [1, 1, 2]


def test_one_process_of_a_machine_takes_times_at_once():
    def wait():
        raise KeyError("waits")

    with timings.alone(), pytest.raises(KeyError, match="waits"), timings.alone(wait):
        raise AssertionError("two at once")
    with timings.alone(wait):
        pass


def test_fewer_large_images_are_timed():
    assert timings.timed_count((28, 28, 1)) == timings.TIMED_IMAGES
    assert timings.timed_count((512, 768, 3)) == 5
    assert timings.timed_count((8_000, 8_000, 3)) == 1
