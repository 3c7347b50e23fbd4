"""Models, files and mathematics of ganvas; imports only `kernels` and torch, and nothing here on import."""
