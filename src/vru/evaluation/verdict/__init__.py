"""From metrics to a verdict and its report."""
