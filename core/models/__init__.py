"""Networks, one architecture a file: frozen configs, published state-dict names."""
