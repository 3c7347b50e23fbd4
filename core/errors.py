"""The exceptions that mean something to every layer of ganvas, and how their texts are shown."""

import errno
import re


class InputError(ValueError):
    """The user's input is wrong; one sentence: operation, what was expected, what came.

    The command line prints it as `ganvas: <sentence>` and exits with status 2.
    """


class OperationError(RuntimeError):
    """An operation could not be finished through no fault of the input; one sentence says why.

    The command line prints it as `ganvas: <sentence>` and exits with status 1.
    """


class Interrupted(Exception):
    """The user stopped a long operation (a cancel button, Ctrl-C); not an error."""


_USERS_FAULT = frozenset(
    {
        errno.EACCES, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
        errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


# Control characters, line separators, overrides of the writing direction, half surrogate pairs.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` with everything that could disturb a terminal or break a line written as an escape."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def as_input_error(error: BaseException) -> InputError | None:
    """The sentence for a path of the user's that cannot be used; None for any other failure.

    A full disk or a failing one is nobody's input, and stays what it was.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError) and error.filename and error.errno in _USERS_FAULT:
        return InputError(f"{str(error.filename)[:200]}: {error.strerror}")
    return None
