"""The sections of the panel, one controller each."""
