"""The run's log as TensorBoard events, where ganvas[train] is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.errors import InputError

FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Refuse to log where TensorBoard is not installed.

    Raises:
        InputError: it is not.
    """
    if find_spec("tensorboard") is None:
        raise InputError(
            "train: tensorboard=true needs TensorBoard; expected ganvas[train] to be installed "
            "(pip install 'ganvas[train]')"
        )


class Board:
    """Writes the numbers of log lines as scalars, by images seen.

    Args:
        folder: of the run; events go to `tensorboard` in it.
        images: seen so far; what an interrupted run wrote beyond is hidden.
    """

    def __init__(self, folder: Path, images: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=images + 1)

    def write(self, images: int, values: dict[str, Any]) -> None:
        """Write all plain numbers among `values`."""
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        """Flush everything to the disk."""
        self._writer.close()
