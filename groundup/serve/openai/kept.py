"""Responses that can be continued by their id: some, in memory, each for its tenant alone."""

from collections import OrderedDict
from typing import Any, NamedTuple

from pydantic_core import to_json

from .errors import ApiError
from .schemas import Item

MAX_KEPT, MAX_KEPT_BYTES = 1_000, 2**26
"""Responses that are kept, and what they hold as JSON; the oldest is forgotten first."""


class KeptResponse(NamedTuple):
    """A response that can be continued."""

    tenant: str
    items: list[Item]
    """The conversation with its answer."""
    response: dict[str, Any]
    size: int
    """Of both as JSON."""


class KeptResponses:
    """The responses of this server that can be continued."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, KeptResponse] = OrderedDict()
        self.size = 0

    def keep(self, tenant: str, items: list[Item], response: dict[str, Any]) -> None:
        """Keep one, and forget the oldest if there are too many."""
        size = len(to_json([items, response], inf_nan_mode="null"))
        self.kept[response["id"]] = KeptResponse(tenant, items, response, size)
        self.size += size
        while len(self.kept) > MAX_KEPT or self.size > MAX_KEPT_BYTES:
            self.size -= self.kept.popitem(last=False)[1].size

    def read(self, id: str, tenant: str) -> KeptResponse:
        """One of a tenant's; ApiError if there is none of that id."""
        kept = self.kept.get(id)
        if kept is None or kept.tenant != tenant:
            what = f"The response '{id[:100]}' is not kept here."
            raise ApiError(404, what, param="previous_response_id", code="not_found")
        return kept

    def forget(self, id: str, tenant: str) -> None:
        """Forget one; ApiError if there is none of that id."""
        self.size -= self.read(id, tenant).size
        del self.kept[id]
