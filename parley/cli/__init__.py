"""The commands, one file each; `parley.__main__` parses, calls and prints."""
