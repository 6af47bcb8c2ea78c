"""From a template to a model repo: compose, catalogue, render, ownership."""
