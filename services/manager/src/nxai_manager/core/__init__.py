"""Pure code: no files, no bus, no clock."""
