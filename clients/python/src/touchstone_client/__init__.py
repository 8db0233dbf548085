"""Client of touchstone, the counterfeit detector for marketplaces."""

from ._async import AsyncClient
from ._photos import Listing, Photo
from ._sync import Client
from ._wire import Problem, Retries, TouchstoneError, Unreachable

__all__ = ["AsyncClient", "Client", "Listing", "Photo", "Problem", "Retries", "TouchstoneError", "Unreachable"]
