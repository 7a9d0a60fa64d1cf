"""One module for each outside thing that capture touches."""
