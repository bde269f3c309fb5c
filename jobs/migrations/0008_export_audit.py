"""The permission to export the audit log. Whoever could stop bulk actions still can."""

from django.db import migrations


def keep_stopping(apps, schema_editor):
    """Until now the permission to change jobs was asked for; it has one of its own now."""
    Permission = apps.get_model("auth", "Permission")
    ours = Permission.objects.filter(content_type__app_label="jobs")
    may_act = ours.filter(codename="change_job").first()
    may_stop = ours.filter(codename="change_bulkaction").first()
    if may_act and may_stop:
        may_stop.user_set.add(*may_act.user_set.all())
        may_stop.group_set.add(*may_act.group_set.all())


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0007_failures_seen"),
        ("accounts", "0005_login_codes"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "ordering": ("-id",),
                "permissions": (("export_auditentry", "Can export audit entries"),),
                "verbose_name_plural": "audit entries",
            },
        ),
        migrations.RunPython(keep_stopping, migrations.RunPython.noop),
    ]
