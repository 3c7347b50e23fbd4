"""How a run ends early through no fault of the user's input."""

from ..core.errors import OperationError


class TrainingError(OperationError):
    """A run had to stop; the message says why and what is left. The command line exits with 1."""
