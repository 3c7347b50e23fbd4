"""Errors that the kernels raise beside plain `ValueError` for wrong arguments."""


class BackendError(RuntimeError):
    """A forced backend does not exist or does not take the call; nothing falls back silently."""
