"""Parley: the Realtime API as software that anybody runs."""

__version__ = "0.1.0"
