import tests.hypothesis_profile  # noqa: F401 - it is its effect that counts
