"""The services have roles of their own.

The rights are set by ``vru.service.database.roles`` at the end of each run of the migrations. This revision marks the
databases that have them: a backup from before is migrated when it is restored.

Revision ID: 0004_service_roles
Revises: 0003
"""

revision = "0004_service_roles"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
