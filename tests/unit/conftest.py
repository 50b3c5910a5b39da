"""Set-up of every unit test."""

from hypothesis import settings

# a busy machine is no fault of the code: no test here depends on time
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
