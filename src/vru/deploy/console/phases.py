"""The seven phases of a deployment, as users know them."""

PHASES = (
    "Validation",
    "Remote setup",
    "Configuration generation",
    "Application deployment",
    "Service orchestration",
    "System integration",
    "Verification",
)
