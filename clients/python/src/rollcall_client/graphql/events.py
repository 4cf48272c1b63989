from typing import Optional

from .base_model import BaseModel
from .fragments import EventFields


class Events(BaseModel):
    events: "EventsEvents"


class EventsEvents(BaseModel):
    edges: list["EventsEventsEdges"]
    page_info: "EventsEventsPageInfo"


class EventsEventsEdges(BaseModel):
    cursor: str
    node: "EventsEventsEdgesNode"


EventsEventsEdgesNode = EventFields


class EventsEventsPageInfo(BaseModel):
    has_next_page: bool
    end_cursor: Optional[str]


Events.model_rebuild()
EventsEvents.model_rebuild()
EventsEventsEdges.model_rebuild()
