"""Model-sized frames in, detections out, exactly as Edge Impulse decodes them."""
