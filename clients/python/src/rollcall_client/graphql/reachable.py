from typing import Optional

from .base_model import BaseModel
from .enums import AccessLevel, ResourceKind


class Reachable(BaseModel):
    reachable: "ReachableReachable"


class ReachableReachable(BaseModel):
    edges: list["ReachableReachableEdges"]
    page_info: "ReachableReachablePageInfo"


class ReachableReachableEdges(BaseModel):
    level: AccessLevel
    node: "ReachableReachableEdgesNode"


class ReachableReachableEdgesNode(BaseModel):
    id: str
    kind: ResourceKind
    external_id: Optional[str]
    name: str


class ReachableReachablePageInfo(BaseModel):
    has_next_page: bool
    end_cursor: Optional[str]


Reachable.model_rebuild()
ReachableReachable.model_rebuild()
ReachableReachableEdges.model_rebuild()
