"""Signals are collected while something must be finished, and act as before afterwards."""

import os
import signal

import pytest

from equidiff_cli.engine.interrupt import deferred, of_a_queue, queued
from equidiff_cli.errors import Interrupted


def test_signals_are_collected_not_acted_on(capfd):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with deferred() as received:
        assert received == []
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM, signal.SIGTERM]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    out, error = capfd.readouterr()
    assert out == "" and error == "equidiff: stopping when this step is saved\n" * 2


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_acts_at_once(first):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred() as received:
        os.kill(os.getpid(), first)
        assert received == [first]
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_standard_error_does_not_break_the_step():
    kept = os.dup(2)
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 2)
    try:
        with deferred() as received:
            os.kill(os.getpid(), signal.SIGINT)
            assert received == [signal.SIGINT]
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(write)


def test_the_exception_names_its_signal():
    error = Interrupted(signal.SIGTERM, "here")
    assert error.number == 15 and error.code == 143
    assert str(error) == "interrupted by SIGTERM, state saved; the same command with hydra.run.dir=here goes on"


def test_a_job_of_a_queue_stays_for_sigterm_and_stops_for_usr2(capfd):
    """What came while things were loaded counts, too."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)]
    assert not queued()
    with of_a_queue():
        assert queued()
        os.kill(os.getpid(), signal.SIGTERM)
        with deferred() as noted:
            assert noted == [signal.SIGTERM] and noted.stop is None
            os.kill(os.getpid(), signal.SIGUSR2)
            assert noted.stop == signal.SIGUSR2
    assert not queued() and [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)] == before
    said = capfd.readouterr().err.splitlines()
    assert said == ["equidiff: saving at the next step, going on until killed", "equidiff: stopping at the next step"]


def test_elsewhere_every_signal_stops():
    with deferred() as noted:
        assert noted.stop is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted.stop == signal.SIGTERM
