from django.db import migrations

# Without a journal: a crash of PostgreSQL empties them, and no commit waits for a disk.
# On SQLite they are in a file of their own (foundation/database/sqlite/scratch.py).
TABLES = (
    "CREATE UNLOGGED TABLE jobs_livepiece (key bigint NOT NULL, log smallint NOT NULL, "
    "stop bigint NOT NULL, start bigint NOT NULL, number integer NOT NULL, "
    "attempt_id bigint NOT NULL, content bytea NOT NULL, PRIMARY KEY (key, log, stop))",
    "CREATE UNLOGGED TABLE jobs_livewatch (job_id bigint NOT NULL, process bigint NOT NULL, "
    "until double precision NOT NULL, PRIMARY KEY (job_id, process))",
)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        for table in TABLES:
            schema_editor.execute(table)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        for name in ('jobs_livepiece', 'jobs_livewatch'):
            schema_editor.execute(f'DROP TABLE {name}')


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0004_several_files'),
    ]

    operations = [migrations.RunPython(make, drop)]
