"""Releases: manifests, content by hash, what is kept, what is removed, and images on their way."""
