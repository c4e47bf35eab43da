"""Signed announcements to programs of the operator's: what has happened, and what to do about it over REST."""
