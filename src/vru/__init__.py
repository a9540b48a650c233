"""VRU Platform: proof that vulnerable road users are detected well and soon enough."""
