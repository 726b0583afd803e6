"""Every exception that a command ends with, its exit code and what is said of it."""

import signal


class WrongRequest(ValueError):
    """What was asked for cannot be done; also where it shows only while running."""

    code = 2


class Failed(Exception):
    """It went wrong while running."""

    code = 1


class Exhausted(Failed):
    """Memory ran out although the plan could not be lighter."""


class Stopped(BaseException):
    """Signal `number` stopped the command. The same command goes on where it has `again` among its words, if any."""

    def __init__(self, number, said="interrupted", again=None):
        super().__init__(said)
        self.number, self.again, self.code = number, again, 128 + number

    def __str__(self):
        return super().__str__() + (f"; the same command with {self.again} goes on" if self.again else "")


class Interrupted(Stopped):
    """The run in directory `path` was asked to stop and has saved its state."""

    def __init__(self, number, path):
        super().__init__(number, f"interrupted by {signal.Signals(number).name}, state saved", f"hydra.run.dir={path}")


class Terminated(Stopped):
    """SIGTERM came before there was anything to save."""

    def __init__(self):
        super().__init__(signal.SIGTERM, "terminated before there was anything to save")
