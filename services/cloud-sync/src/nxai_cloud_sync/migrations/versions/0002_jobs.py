"""Jobs that ended, and how many pictures there are of each camera and strategy.

Triggers keep `held` right whatever changes a row, as they do `totals`: to count 100,000 pictures
anew whenever somebody looks would take a small board a while.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TRIGGERS = {
    "held_inserted": """AFTER INSERT ON samples BEGIN
        INSERT INTO held (camera, strategy, pictures) VALUES (NEW.camera, NEW.strategy, 1)
            ON CONFLICT (camera, strategy) DO UPDATE SET pictures = pictures + 1;
    END""",
    "held_deleted": """AFTER DELETE ON samples BEGIN
        UPDATE held SET pictures = pictures - 1
            WHERE camera = OLD.camera AND strategy = OLD.strategy;
        DELETE FROM held
            WHERE camera = OLD.camera AND strategy = OLD.strategy AND pictures <= 0;
    END""",
}


def upgrade() -> None:
    """Create the tables, and count what is there."""
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job", sa.Text, nullable=False, unique=True),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("started_at_us", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("ended_at_us", sa.BigInteger, nullable=True),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("jobs_by_command", "jobs", ("command", "number"))
    op.create_table(
        "held",
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("strategy", sa.Text, primary_key=True),
        sa.Column("pictures", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO held SELECT camera, strategy, count(*) FROM samples GROUP BY 1, 2")
    for name, text in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {text}")
    op.create_index("kept_by_time", "kept", ("stored_at_us", "camera"))


def downgrade() -> None:
    """Drop them."""
    op.drop_index("kept_by_time", "kept")
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for name in ("held", "jobs"):
        op.drop_table(name)
