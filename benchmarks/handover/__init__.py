"""What moves an assistant to other engines, and what they are compared with; see `bench_handover.py`."""
