"""The two exceptions that mean something to every layer of ganvas."""

import errno


class InputError(ValueError):
    """The user's input is wrong; one sentence: operation, what was expected, what came.

    The command line prints it as `ganvas: <sentence>` and exits with status 2.
    """


class Interrupted(Exception):
    """The user stopped a long operation (a cancel button, Ctrl-C); not an error."""


_USERS_FAULT = frozenset(
    {
        errno.EACCES, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
        errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


def as_input_error(error: BaseException) -> InputError | None:
    """The sentence for a path of the user's that cannot be used; None for any other failure.

    A full disk or a failing one is nobody's input, and stays what it was.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError) and error.filename and error.errno in _USERS_FAULT:
        return InputError(f"{str(error.filename)[:200]}: {error.strerror}")
    return None
