"""Some faults need a store that outlives the process: the arena of the races."""

from tests.races.conftest import arena, race_tables, warm_client, weather

__all__ = ["arena", "race_tables", "warm_client", "weather"]
