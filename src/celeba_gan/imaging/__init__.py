"""From photographs to packed uint8 images, and from samples to pictures."""
