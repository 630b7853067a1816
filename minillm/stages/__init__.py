"""The stages of the course: each trains one thing and writes one folder."""
