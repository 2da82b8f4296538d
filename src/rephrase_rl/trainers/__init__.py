"""Adapters that run the guidance step inside an existing RL trainer."""
