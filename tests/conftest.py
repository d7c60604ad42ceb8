"""For all tests: an example may take as long as it takes, as the machines are shared."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
