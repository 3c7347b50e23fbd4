"""What `ganvas editor` does: check the extra and the address, then run the server."""

from __future__ import annotations

import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.files import check_output_folder

TOKEN_VARIABLE = "GANVAS_EDITOR_TOKEN"
MIN_TOKEN = 8


@dataclass(frozen=True)
class Settings:
    """Where the editor listens, and which folders it uses.

    Attributes:
        host: Name or address to bind; anything but this machine itself requires a token.
        port: TCP port, 0 for any free one.
        input_dir: Uploaded images, and those that LoadImage names.
        output_dir: Saved images.
        user_dir: Workflows and settings of the editor, under `default` as in ComfyUI.
        device: "auto", "cpu", "cuda" or "cuda:1".
        open_browser: Whether to open the editor in the system's browser.
    """

    host: str = "127.0.0.1"
    port: int = 8188
    input_dir: Path = field(default_factory=lambda: Path("input"))
    output_dir: Path = field(default_factory=lambda: Path("output"))
    user_dir: Path = field(default_factory=lambda: Path("user"))
    device: str = "auto"
    open_browser: bool = True


def serve(settings: Settings) -> None:
    """Serve the editor until Ctrl-C.

    Raises:
        InputError: The extra is not installed, or the address, a folder or the device cannot be
            used.
    """
    from .frontend import frontend_folder

    static = frontend_folder()
    if not 0 <= settings.port <= 65535:
        raise InputError(f"--port: expected 0 to 65535, got {settings.port}")
    for folder in (settings.input_dir, settings.output_dir, settings.user_dir):
        check_output_folder(folder)
    token = choose_token(settings.host)
    from .server import run

    run(settings, static, token)


def choose_token(host: str) -> str | None:
    """Return the secret that browsers must present; none when only this machine can connect.

    It is $GANVAS_EDITOR_TOKEN, or a new one for every start.

    Raises:
        InputError: The variable's token is too short to be a secret.
    """
    given = os.environ.get(TOKEN_VARIABLE, "")
    if given:
        if len(given) < MIN_TOKEN or not given.isascii() or not given.isalnum():
            raise InputError(
                f"{TOKEN_VARIABLE}: expected at least {MIN_TOKEN} letters and digits, "
                f"got {len(given)} characters"
            )
        return given
    return None if is_loopback(host) else secrets.token_hex(16)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
