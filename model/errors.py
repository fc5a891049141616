"""The error that a command reports in one line."""


class CaptionerError(Exception):
    """A fault that the user can mend: the message says what was got, expected, and what to do.

    Commands print it without a traceback and exit with status 2. Every other exception is a
    defect or a failure of the machine and keeps its traceback.
    """
