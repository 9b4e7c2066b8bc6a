"""The version of the distribution, written once here and read by pyproject.toml."""

__version__ = "0.1.0"
