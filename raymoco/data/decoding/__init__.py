"""From bytes in many forms to upright, opaque pixels of 8 bits."""
