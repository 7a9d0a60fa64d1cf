"""The manager: one settings.json in, one retained configuration per service out."""
