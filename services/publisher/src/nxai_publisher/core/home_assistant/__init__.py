"""The box in Home Assistant: what is known of it, its entities, and how they are announced."""
