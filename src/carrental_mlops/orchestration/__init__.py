"""Engines that run a `Pipeline`."""
