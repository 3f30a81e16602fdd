"""For all tests: a property's example may take its time on a busy machine; pytest-timeout bounds the whole."""

from hypothesis import settings

settings.register_profile("learntoask", deadline=None)
settings.load_profile("learntoask")
