"""The visual editor: ComfyUI's published frontend over ganvas's own engine, served by aiohttp.

Needs the extra `ganvas[editor]`; importing this package does not. The protocol is ComfyUI's, so
that its frontend, and scripts written for its HTTP interface, find what they expect.
"""

from .serve import Settings, serve

__all__ = ["Settings", "serve"]
