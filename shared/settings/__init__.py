"""Settings: flags over environment over file over defaults, every bad key reported at once."""

from shared.settings.load import load_settings
from shared.settings.pipeline import PipelineSettings
from shared.settings.service import CommaSeparated, ServiceSettings

__all__ = ["CommaSeparated", "PipelineSettings", "ServiceSettings", "load_settings"]
