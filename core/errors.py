"""The two exceptions that mean something to every layer of ganvas."""


class InputError(ValueError):
    """The user's input is wrong; one sentence: operation, what was expected, what came.

    The command line prints it as `ganvas: <sentence>` and exits with status 2.
    """


class Interrupted(Exception):
    """The user stopped a long operation (a cancel button, Ctrl-C); not an error."""
