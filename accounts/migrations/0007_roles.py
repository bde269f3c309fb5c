"""The groups of the four roles. Their permissions come after all migrations, from the site's table."""

from django.db import migrations

NAMES = ("viewer", "TA", "head TA", "owner")


def make(apps, schema_editor):
    """A group that somebody made under such a name keeps its members and permissions, under another name."""
    Group = apps.get_model("auth", "Group")
    for name in NAMES:
        for group in Group.objects.filter(name=name):
            group.name = f"{name} (before roles, {group.pk})"
            group.save()
        Group.objects.create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_second_factor"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
