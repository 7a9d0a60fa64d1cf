"""Collected pictures, what was kept lately, and what was sent.

The four indexes of `samples` hold all that a list is filtered by, so that a page and its total are
read from one of them alone. Triggers keep `sample_labels` (an index, in effect) and `totals`: they
are right whatever changes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LABELS_OF_NEW = """
    INSERT INTO sample_labels (label, captured_at_us, number, value, camera, state, strategy)
        SELECT DISTINCT json_each.value, NEW.captured_at_us, NEW.number, NEW.value, NEW.camera,
            NEW.state, NEW.strategy
        FROM json_each(NEW.shown);
"""
NO_LABELS_OF_OLD = """
    DELETE FROM sample_labels
        WHERE captured_at_us = OLD.captured_at_us AND number = OLD.number
            AND label IN (SELECT json_each.value FROM json_each(OLD.shown));
"""
MORE_OF_NEW = """
    INSERT INTO totals (state, pictures, bytes) VALUES (NEW.state, 1, NEW.bytes)
        ON CONFLICT (state) DO UPDATE
        SET pictures = pictures + 1, bytes = totals.bytes + excluded.bytes;
"""
LESS_OF_OLD = """
    UPDATE totals SET pictures = pictures - 1, bytes = bytes - OLD.bytes
        WHERE state = OLD.state;
"""
TRIGGERS = {
    "samples_inserted": f"AFTER INSERT ON samples BEGIN {LABELS_OF_NEW} {MORE_OF_NEW} END",
    "samples_deleted": f"AFTER DELETE ON samples BEGIN {NO_LABELS_OF_OLD} {LESS_OF_OLD} END",
    "samples_changed": (
        "AFTER UPDATE OF state, shown ON samples BEGIN"
        f" {NO_LABELS_OF_OLD} {LESS_OF_OLD} {LABELS_OF_NEW} {MORE_OF_NEW} END"
    ),
}


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "store",
        sa.Column("identity", sa.Text, primary_key=True),
        sa.Column("dropped", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO store VALUES (lower(hex(randomblob(4))), 0)")
    op.create_table(
        "samples",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("camera", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("captured_at_us", sa.BigInteger, nullable=False),
        sa.Column("stored_at_us", sa.BigInteger, nullable=False),
        sa.Column("width", sa.BigInteger, nullable=False),
        sa.Column("height", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("model_digest", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("predictions", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_before", sa.Text, nullable=False),
        sa.Column("state_reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("boxes", sa.Text, nullable=True),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("remote_id", sa.BigInteger, nullable=True),
        sa.Column("uploaded_at_us", sa.BigInteger, nullable=True),
        sa.Column("duplicate", sa.SmallInteger, nullable=False),
        # The camera comes late, or SQLite would take this index for a list of one camera.
        sa.UniqueConstraint("stream", "sequence", "camera", "model"),
    )
    by_time = ("captured_at_us", "number")
    by_value = ("value", "captured_at_us", "number")
    for name, columns in {
        "samples_by_time": (*by_time, "state", "camera", "strategy"),
        "samples_by_value": (*by_value, "state", "camera", "strategy"),
        "samples_by_state_time": ("state", *by_time, "camera", "strategy"),
        "samples_by_state_value": ("state", *by_value, "camera", "strategy"),
    }.items():
        op.create_index(name, "samples", columns)
    op.create_table(
        "sample_labels",
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("captured_at_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("camera", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "totals",
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("pictures", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for name, text in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {text}")
    op.create_table(
        "kept",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("camera", sa.Text, nullable=False),
        sa.Column("captured_at_us", sa.BigInteger, nullable=False),
        sa.Column("stored_at_us", sa.BigInteger, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("hash", sa.BigInteger, nullable=False),
    )
    op.create_index("kept_by_camera", "kept", ("camera", "number"))
    op.create_table(
        "sent",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("sent", "kept", "totals", "sample_labels", "samples", "store"):
        op.drop_table(name)
