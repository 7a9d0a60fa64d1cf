"""Results, and their sums per minute and per minute and label.

The primary key of `results` is also its order on disk (SQLite: WITHOUT ROWID), so that the
newest rows of a camera lie together and no second index has to be kept.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "results",
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("captured_at_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("picture_width", sa.BigInteger, nullable=False),
        sa.Column("picture_height", sa.BigInteger, nullable=False),
        sa.Column("objects", sa.Integer, nullable=False),
        sa.Column("uncertain", sa.SmallInteger, nullable=False),
        sa.Column("latency_ms", sa.Float(53), nullable=False),
        sa.Column("inference_ms", sa.Float(53), nullable=False),
        sa.Column("detections", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "result_minutes",
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
    op.create_table(
        "label_minutes",
        sa.Column("minute_s", sa.BigInteger, primary_key=True, autoincrement=False),
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


def downgrade() -> None:
    """Drop the tables."""
    for name in ("label_minutes", "result_minutes", "results"):
        op.drop_table(name)
