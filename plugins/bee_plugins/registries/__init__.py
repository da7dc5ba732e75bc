"""The registries that bee brings: ``direct``, and one folder for each that has several files."""
