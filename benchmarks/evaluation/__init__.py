"""What the evaluation costs, measured against its peers in one run."""
