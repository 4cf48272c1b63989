from typing import Optional

from .base_model import BaseModel
from .fragments import TeamUpsertFields, UserErrorFields


class UpsertTeams(BaseModel):
    upsert_teams: "UpsertTeamsUpsertTeams"


class UpsertTeamsUpsertTeams(BaseModel):
    results: Optional[list["UpsertTeamsUpsertTeamsResults"]]
    user_errors: list["UpsertTeamsUpsertTeamsUserErrors"]


UpsertTeamsUpsertTeamsResults = TeamUpsertFields
UpsertTeamsUpsertTeamsUserErrors = UserErrorFields
UpsertTeams.model_rebuild()
UpsertTeamsUpsertTeams.model_rebuild()
