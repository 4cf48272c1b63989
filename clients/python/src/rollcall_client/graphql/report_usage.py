from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class ReportUsage(BaseModel):
    report_usage: "ReportUsageReportUsage"


class ReportUsageReportUsage(BaseModel):
    recorded: Optional[int]
    already_recorded: Optional[int]
    user_errors: list["ReportUsageReportUsageUserErrors"]


ReportUsageReportUsageUserErrors = UserErrorFields
ReportUsage.model_rebuild()
ReportUsageReportUsage.model_rebuild()
