"""One file per outside thing; each translates its exceptions once."""
