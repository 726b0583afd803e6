"""Every exception that a command ends with, and its exit code."""

import signal


class WrongRequest(ValueError):
    """What was asked for cannot be done: exit code 2, also where it shows only while running."""

    code = 2


class Failed(Exception):
    """It went wrong while running: exit code 1."""

    code = 1


class Exhausted(Failed):
    """Memory ran out although the plan could not be lighter."""


class Interrupted(BaseException):
    """The run in directory `path` was asked to stop by signal `number` and has saved its state.

    The same command goes on where it has `again` among its words.
    """

    def __init__(self, number, path):
        super().__init__(f"interrupted by {signal.Signals(number).name}, state saved")
        self.number, self.again = number, f"hydra.run.dir={path}"


class Terminated(BaseException):
    """SIGTERM came before there was anything to save."""

    number = signal.SIGTERM
