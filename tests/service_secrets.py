"""The secrets that services show each other in tests."""

SECRETS = {name: name.ljust(40, "-") for name in ("ml_engine", "camera_service", "validation_engine", "signer")}
