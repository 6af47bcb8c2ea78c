"""What a payment must look like, in a file and in a request; rows that break it are quarantined with a reason."""

from datetime import datetime

from carrental_mlops.data.row_contract import RowContract
from pydantic import Field


class Payment(RowContract):
    payment_id: int
    customer_id: int
    branch_id: int
    paid_at: datetime
    """UTC."""
    amount_eur: float = Field(ge=0, le=20_000)
    is_fraud: int | None = Field(default=None, ge=0, le=1)
    """Known only after the label delay; a request has none."""
    device_id: int | None = None
    rental_days: float | None = Field(default=None, gt=0, le=365)
    channel: int | None = Field(default=None, ge=0, le=9)
