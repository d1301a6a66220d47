"""What every service of Driftline stands on; nothing here imports a service."""
