"""Import this in the conftest of a room that uses Hypothesis: its settings hold from there on."""

from hypothesis import settings

# A busy machine is no failure of what is tested; the tests' own time limit holds.
settings.register_profile("vru", deadline=None)
settings.load_profile("vru")
