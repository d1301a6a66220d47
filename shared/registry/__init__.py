"""Which version of a model is champion and which are candidates, and where their bundles lie."""

from shared.registry.protocol import Registry, RegistryReader
from shared.registry.records import CanaryShare, Change, HistoryEntry, Pointers, VersionInfo
from shared.registry.redis_registry import RedisRegistry
from shared.registry.static import StaticRegistry

__all__ = [
    "CanaryShare",
    "Change",
    "HistoryEntry",
    "Pointers",
    "RedisRegistry",
    "Registry",
    "RegistryReader",
    "StaticRegistry",
    "VersionInfo",
]
