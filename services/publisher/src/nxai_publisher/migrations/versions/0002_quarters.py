"""Sums per quarter of an hour, and sums of results apart by the version of the model.

What was stored before is summed up again from the minutes, not from the results: seconds for a
full log, not minutes. Two things the minutes do not know:

* the version. A quarter counts for the version of its first result that is still stored: exact but
  for a quarter in which the version changed. Where no result is stored any more it is empty.
* how many results showed something (`shown`): null.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RESULT_NUMBERS = "results, objects, uncertain, latency_ms_sum, latency_ms_max, inference_ms_sum"
_RESULT_SUMS = (
    "SUM(results) AS results, SUM(objects) AS objects, SUM(uncertain) AS uncertain, "
    "SUM(latency_ms_sum) AS latency_ms_sum, MAX(latency_ms_max) AS latency_ms_max, "
    "SUM(inference_ms_sum) AS inference_ms_sum"
)
_BINS = ", ".join(f"confidence_{n}" for n in range(10))
_BIN_SUMS = ", ".join(f"SUM(confidence_{n})" for n in range(10))


def upgrade() -> None:
    """Create the tables and fill them."""
    _create_result_sums("result_quarters", "quarter_s")
    op.create_table(
        "label_quarters",
        sa.Column("quarter_s", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("results", sa.BigInteger, nullable=False),
        sa.Column("objects", sa.BigInteger, nullable=False),
        sa.Column("max_objects", sa.BigInteger, nullable=False),
        sa.Column("confidence_sum", sa.Float(53), nullable=False),
        *(sa.Column(f"confidence_{n}", sa.BigInteger, nullable=False) for n in range(10)),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO label_quarters (quarter_s, camera, model, label, results, objects,"  # noqa: S608 - constants of this file
        f" max_objects, confidence_sum, {_BINS})"
        " SELECT minute_s / 900 * 900 AS quarter, camera, model, label, SUM(results),"
        f" SUM(objects), MAX(max_objects), SUM(confidence_sum), {_BIN_SUMS}"
        " FROM label_minutes GROUP BY quarter, camera, model, label"
    )
    op.execute(
        "INSERT INTO result_quarters"  # noqa: S608 - constants of this file
        f" (quarter_s, camera, model, model_version, {_RESULT_NUMBERS})"
        " SELECT quarter, camera, model, COALESCE((SELECT r.model_version FROM results AS r"
        " WHERE r.camera = m.camera AND r.model = m.model"
        " AND r.captured_at_us >= m.quarter * 1000000"
        " AND r.captured_at_us < (m.quarter + 900) * 1000000"
        f" ORDER BY r.captured_at_us LIMIT 1), ''), {_RESULT_NUMBERS}"
        f" FROM (SELECT minute_s / 900 * 900 AS quarter, camera, model, {_RESULT_SUMS}"
        " FROM result_minutes GROUP BY quarter, camera, model) AS m"
    )
    _create_result_sums("new_minutes", "minute_s")
    op.execute(
        "INSERT INTO new_minutes"  # noqa: S608 - constants of this file
        f" (minute_s, camera, model, model_version, {_RESULT_NUMBERS})"
        " SELECT m.minute_s, m.camera, m.model, q.model_version,"
        " m.results, m.objects, m.uncertain,"
        " m.latency_ms_sum, m.latency_ms_max, m.inference_ms_sum"
        " FROM result_minutes AS m JOIN result_quarters AS q"
        " ON q.quarter_s = m.minute_s / 900 * 900 AND q.camera = m.camera AND q.model = m.model"
    )
    op.drop_table("result_minutes")
    op.rename_table("new_minutes", "result_minutes")


def downgrade() -> None:
    """Sum up over the versions again, and drop the quarters."""
    op.create_table(
        "old_minutes",
        sa.Column("minute_s", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("results", sa.BigInteger, nullable=False),
        sa.Column("objects", sa.BigInteger, nullable=False),
        sa.Column("uncertain", sa.BigInteger, nullable=False),
        sa.Column("latency_ms_sum", sa.Float(53), nullable=False),
        sa.Column("latency_ms_max", sa.Float(53), nullable=False),
        sa.Column("inference_ms_sum", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO old_minutes (minute_s, camera, model, {_RESULT_NUMBERS})"  # noqa: S608 - same
        f" SELECT minute_s, camera, model, {_RESULT_SUMS}"
        " FROM result_minutes GROUP BY minute_s, camera, model"
    )
    op.drop_table("result_minutes")
    op.rename_table("old_minutes", "result_minutes")
    op.drop_table("label_quarters")
    op.drop_table("result_quarters")


def _create_result_sums(name: str, slot: str) -> None:
    op.create_table(
        name,
        sa.Column(slot, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("model_version", sa.Text, primary_key=True),
        sa.Column("results", sa.BigInteger, nullable=False),
        sa.Column("objects", sa.BigInteger, nullable=False),
        sa.Column("shown", sa.BigInteger, nullable=True),
        sa.Column("uncertain", sa.BigInteger, nullable=False),
        sa.Column("latency_ms_sum", sa.Float(53), nullable=False),
        sa.Column("latency_ms_max", sa.Float(53), nullable=False),
        sa.Column("inference_ms_sum", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
