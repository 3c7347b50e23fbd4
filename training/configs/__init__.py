"""Settings of the systems that train, a module for each family; see `..presets` for the rows."""
