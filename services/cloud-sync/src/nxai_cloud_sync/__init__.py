"""Edge Impulse and this box: models down, doubtful pictures up, and the loop closed."""
