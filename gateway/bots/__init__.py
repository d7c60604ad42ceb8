"""Adapters of the engine's Bot port: bots behind a webhook, and those that need no network."""
