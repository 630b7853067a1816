"""The model: its shape, its blocks, its loss, its files, and sampling from it."""
