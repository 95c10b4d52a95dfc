"""The simulator: replicas, a real server and what may befall them, drawn from a seed (docs/chaos.md)."""
