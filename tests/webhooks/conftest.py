"""Webhooks on each database."""

from tests.databases import Clock, clock, storage, url

__all__ = ["Clock", "clock", "storage", "url"]
