"""Simulated rental payments, so that a template runs without anybody's personal data. No row is a real payment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carrental_mlops.core.arrays import Floats, Ints
from carrental_mlops.errors import DataError

START = "2026-01-01"
_DAY = 86_400
_LEAD = 60
"""Days before the start from which a branch may have been compromised."""


@dataclass(frozen=True)
class FraudSimulation:
    """Rental payments of some months with four patterns of fraud.

    Customers have a home branch, a usual amount and a usual device; demand rises at weekends and in summer.
    Fraud, about 2 % of rows, comes in four patterns: stolen cards (bursts at several times the customer's usual
    amount), compromised branches (for some weeks most of a branch's payments, at usual amounts), devices that pay for
    many customers within days, and single payments dearer than nearly all others.
    """

    rows: int = 60_000
    """Payments."""
    days: int = 120
    """Time span, from 1 January 2026 (UTC)."""
    seed: int = 0

    def frame(self) -> pd.DataFrame:
        """Columns payment_id, customer_id, branch_id, device_id (int64), paid_at (UTC), amount_eur, rental_days (days),
        channel (0 web, 1 app, 2 desk, 3 partner), is_fraud (int8); sorted by time.

        Raises:
            DataError: under 1,000 rows or 30 days, which leave no room for the patterns and the split.
        """
        if self.rows < 1_000 or self.days < 30:
            raise DataError(
                f"sim://fraud: rows={self.rows}, days={self.days}; at least 1,000 rows and 30 days are needed",
                "set steps.ingest.source to sim://fraud?rows=60000&days=120",
            )
        rng = np.random.default_rng(self.seed)
        world = _World.of(self, rng)
        frauds = pd.concat([world.stolen_cards(rng), world.device_bursts(rng), world.dear_payments(rng)])
        rows = pd.concat([world.ordinary(rng, self.rows - len(frauds)), frauds])
        rows = rows.sort_values("second", kind="stable", ignore_index=True)
        rows.loc[world.compromised(rng, rows), "is_fraud"] = 1
        stamps = pd.Timestamp(START, tz="UTC") + pd.to_timedelta(rows.pop("second"), unit="s")
        rows.insert(0, "payment_id", np.arange(1, len(rows) + 1))
        rows.insert(4, "paid_at", stamps)
        return rows


@dataclass(frozen=True, eq=False)
class _World:
    """Who pays, where and how much, before any fraud."""

    size: FraudSimulation
    usual: Floats
    """(customers,) log of the usual amount."""
    home: Ints
    """(customers,) branch."""
    active: Floats
    """(customers,) share of payments."""
    branches: int
    day_weight: Floats
    """(days,) share of payments."""

    @classmethod
    def of(cls, size: FraudSimulation, rng: np.random.Generator) -> _World:
        customers, branches = max(100, size.rows // 25), max(20, size.rows // 300)
        active = rng.gamma(1.5, size=customers)
        day = np.arange(size.days)
        weight = (1 + 0.4 * np.sin(2 * np.pi * (day - 110) / 365)) * np.where((day + 3) % 7 >= 4, 1.3, 1.0)
        return cls(
            size,
            rng.normal(np.log(160), 0.6, customers),
            rng.integers(0, branches, customers),
            active / active.sum(),
            branches,
            weight / weight.sum(),
        )

    def ordinary(self, rng: np.random.Generator, n: int) -> pd.DataFrame:
        """`n` payments without fraud in random order."""
        customer = rng.choice(len(self.usual), n, p=self.active)
        return self.payments(rng, customer, self.instants(rng, n))

    def instants(self, rng: np.random.Generator, n: int) -> Floats:
        """(n,) seconds since the start; most between 7 and 21 hours."""
        day = rng.choice(self.size.days, n, p=self.day_weight)
        seconds: Floats = (day * _DAY + np.clip(rng.normal(14 * 3600, 3.5 * 3600, n), 0, 86_399)).astype(np.float64)
        return seconds

    def payments(
        self, rng: np.random.Generator, customer: Ints, second: Floats, times: float | Floats = 1.0
    ) -> pd.DataFrame:
        """Payments of these customers at `times` their usual amount."""
        n = len(customer)
        branch = np.where(rng.random(n) < 0.6, self.home[customer], rng.integers(0, self.branches, n))
        rental_days = 1 + rng.geometric(0.35, n)
        amount = times * np.exp(self.usual[customer] + rng.normal(0, 0.35, n)) * np.sqrt(rental_days / 3)
        return pd.DataFrame(
            {
                "customer_id": customer + 1,
                "branch_id": branch + 1,
                "device_id": 10 * (customer + 1) + (rng.random(n) < 0.15),
                "amount_eur": np.round(np.clip(amount, 5, 9_000), 2),
                "rental_days": rental_days,
                "channel": rng.choice(4, n, p=[0.4, 0.35, 0.15, 0.1]),
                "is_fraud": np.zeros(n, np.int8),
                "second": np.minimum(second, self.size.days * _DAY - 1),
            }
        )

    def stolen_cards(self, rng: np.random.Generator) -> pd.DataFrame:
        """Bursts of three to six payments within two days, at 3 to 6 times the customer's usual amount."""
        victims = max(3, self.size.rows // 500)
        size = rng.integers(3, 7, victims)
        customer = np.repeat(rng.choice(len(self.usual), victims, p=self.active), size)
        start = np.repeat(self.instants(rng, victims), size)
        times = np.repeat(rng.uniform(3, 6, victims), size)
        second = start + rng.uniform(0, 2 * _DAY, len(customer))
        return self.payments(rng, customer, second, times).assign(is_fraud=np.int8(1))

    def device_bursts(self, rng: np.random.Generator) -> pd.DataFrame:
        """One device pays for five to nine customers within three days."""
        devices = max(1, self.size.rows // 9_000)
        size = rng.integers(5, 10, devices)
        customer = rng.choice(len(self.usual), int(size.sum()), p=self.active)
        second = np.repeat(self.instants(rng, devices), size) + rng.uniform(0, 3 * _DAY, len(customer))
        device = np.repeat(-1 - np.arange(devices), size)
        return self.payments(rng, customer, second, 1.4).assign(device_id=device, is_fraud=np.int8(1))

    def dear_payments(self, rng: np.random.Generator) -> pd.DataFrame:
        """Single payments above what nearly every customer spends."""
        n = max(2, self.size.rows // 4_000)
        customer = rng.choice(len(self.usual), n, p=self.active)
        amount = np.round(rng.uniform(1_500, 4_000, n), 2)
        return self.payments(rng, customer, self.instants(rng, n)).assign(amount_eur=amount, is_fraud=np.int8(1))

    def compromised(self, rng: np.random.Generator, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """(n,) payments at a branch in its bad weeks, of which four in five are fraud, at usual amounts."""
        span = self.size.days + _LEAD
        incidents = max(1, round(0.00025 * self.branches * span))
        branch = rng.permutation(np.resize(np.arange(1, self.branches + 1), incidents))
        start = span * (np.arange(incidents) + rng.random(incidents)) / incidents - _LEAD
        end = start + rng.uniform(40, 65, incidents)
        day = rows["second"].to_numpy() / _DAY
        bad = np.zeros(len(rows), dtype=bool)
        for b, first, last in zip(branch, start, end, strict=True):
            bad |= (rows["branch_id"].to_numpy() == b) & (day >= first) & (day < last)
        return bad & (rng.random(len(rows)) < 0.8)
