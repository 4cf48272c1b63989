from typing import Optional

from .base_model import BaseModel
from .enums import AccessLevel


class Audience(BaseModel):
    audience: Optional["AudienceAudience"]


class AudienceAudience(BaseModel):
    edges: list["AudienceAudienceEdges"]
    page_info: "AudienceAudiencePageInfo"


class AudienceAudienceEdges(BaseModel):
    level: AccessLevel
    node: "AudienceAudienceEdgesNode"


class AudienceAudienceEdgesNode(BaseModel):
    id: str
    external_id: Optional[str]


class AudienceAudiencePageInfo(BaseModel):
    has_next_page: bool
    end_cursor: Optional[str]


Audience.model_rebuild()
AudienceAudience.model_rebuild()
AudienceAudienceEdges.model_rebuild()
