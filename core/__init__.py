"""Models, files and mathematics of ganvas; imports only `kernels` and torch."""
