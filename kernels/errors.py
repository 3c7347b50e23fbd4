"""Errors that the kernels raise beside plain `ValueError` for wrong arguments."""


class BackendError(RuntimeError):
    """A forced backend does not exist or does not take the call; nothing falls back silently."""


class BuildError(BackendError):
    """A compiled backend cannot be built here; the message is one sentence that says why."""
