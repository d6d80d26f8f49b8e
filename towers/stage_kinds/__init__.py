"""The kinds of stages a recipe can name, each from its own recipe part to a ``Stage``."""
