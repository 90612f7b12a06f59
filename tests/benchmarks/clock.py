"""Seconds of calls, taken beside each other."""

import statistics
import time


def seconds(function, *arguments):
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def medians(*functions, rounds=5):
    """The median seconds of each of some functions, called in turn, so that noise hits all."""
    taken = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]
