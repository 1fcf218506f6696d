"""The experiment runner behind the command: a run is one directory, and one frozen dataclass is its configuration."""
