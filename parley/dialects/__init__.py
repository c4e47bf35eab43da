"""Wire bytes to core events and back: one file per spelling, pure functions, no state."""
