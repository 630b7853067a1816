"""Settings of hypothesis: the same examples in every run, and no time limit on an example."""

from hypothesis import settings

settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")
