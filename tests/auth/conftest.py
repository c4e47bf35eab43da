from tests.databases import clock, storage, url

__all__ = ["clock", "storage", "url"]
