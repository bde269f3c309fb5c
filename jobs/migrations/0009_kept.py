import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# What is kept of each user so far; it reads every source once. As jobs/kept/sizes.py counts.
FILL = """
INSERT INTO jobs_kept (user_id, sources, logs, files)
SELECT sizes.user_id, SUM(sizes.sources), SUM(sizes.logs), SUM(sizes.files) FROM (
    SELECT job.user_id, {source} + {sources} + {includes} + {args} AS sources, 0 AS logs, 0 AS files
    FROM jobs_job AS job
    UNION ALL
    SELECT job.user_id, 0, {compile_log} + {execute_log}, 0
    FROM jobs_attempt AS attempt JOIN jobs_job AS job ON job.id = attempt.job_id
    UNION ALL
    SELECT job.user_id, 0, 0, file.size
    FROM jobs_outputfile AS file
    JOIN jobs_attempt AS attempt ON attempt.id = file.attempt_id
    JOIN jobs_job AS job ON job.id = attempt.job_id
) AS sizes GROUP BY sizes.user_id
"""
SUM = '(SELECT COALESCE(SUM({size}), 0) FROM {each})'


def fill(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        size = 'OCTET_LENGTH({0})'
        listed, named = 'JSONB_ARRAY_ELEMENTS_TEXT({0}) AS one(value)', 'JSONB_EACH_TEXT({0}) AS one'
        blob = size
    else:
        size, listed, named = 'LENGTH(CAST({0} AS BLOB))', 'JSON_EACH({0}) AS one', 'JSON_EACH({0}) AS one'
        blob = 'LENGTH({0})'
    each = {'sources': named, 'includes': named, 'args': listed}
    schema_editor.execute(FILL.format(
        source=size.format('job.source'),
        compile_log=blob.format('attempt.compile_log'),
        execute_log=blob.format('attempt.execute_log'),
        **{
            name: SUM.format(size=size.format('one.value'), each=rows.format(f'job.{name}'))
            for name, rows in each.items()
        },
    ))


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0008_export_audit'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Kept',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('sources', models.BigIntegerField(default=0, help_text='Texts and arguments of jobs.')),
                ('logs', models.BigIntegerField(default=0, help_text='Both logs of each attempt.')),
                ('files', models.BigIntegerField(default=0, help_text='Output files.')),
            ],
            options={
                'indexes': [models.Index(models.OrderBy(models.F('sources') + models.F('logs') + models.F('files'), descending=True), name='kept_most_first')],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
