"""The cluster: what stands there, and how a release gets there and back."""
