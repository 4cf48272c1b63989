from typing import Optional

from .base_model import BaseModel
from .enums import RunStatus
from .fragments import UserErrorFields


class ReportRun(BaseModel):
    report_run: "ReportRunReportRun"


class ReportRunReportRun(BaseModel):
    run: Optional["ReportRunReportRunRun"]
    user_errors: list["ReportRunReportRunUserErrors"]


class ReportRunReportRunRun(BaseModel):
    id: str
    status: RunStatus


ReportRunReportRunUserErrors = UserErrorFields
ReportRun.model_rebuild()
ReportRunReportRun.model_rebuild()
