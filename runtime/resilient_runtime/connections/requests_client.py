"""``requests`` on top of the aging ``urllib3`` pools; imported only when an application asks for it."""

from __future__ import annotations

from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter

from .http import HttpSettings
from .urllib3_client import pool_manager, use_aging_pools

__all__ = ["Adapter", "session"]


def session(settings: HttpSettings) -> tuple[Session, Adapter]:
    """A session whose connections are pooled like this, and the adapter that holds them."""
    adapter = Adapter(settings)
    made = Session()
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made, adapter


class Adapter(HTTPAdapter):
    """Sends a session's requests over aging pools."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        super().__init__()

    def init_poolmanager(self, *_args: Any, **_options: Any) -> None:
        """Called by the base class when it is made."""
        self.poolmanager = pool_manager(self._settings)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Called by the base class for each proxy that the environment names."""
        manager = super().proxy_manager_for(proxy, **options)
        use_aging_pools(manager, self._settings)
        return manager

    def clear(self) -> None:
        """Close what is idle, and what is in use when it comes back."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            manager.clear()
