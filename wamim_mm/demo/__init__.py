"""The built-in scenes, and the demo that learns from them."""
