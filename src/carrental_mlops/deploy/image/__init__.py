"""Images: context, builders, bill of materials, provenance."""
