"""Cameras in, model-sized frames out."""
