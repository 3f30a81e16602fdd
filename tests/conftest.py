"""Settings of all tests: examples of properties have no deadline, and waiting threads do not spin."""

import os

from hypothesis import settings

# A property's example may take its time on a busy machine, because pytest-timeout bounds the whole test.
settings.register_profile("learntoask", deadline=None)
settings.load_profile("learntoask")
# OpenMP's threads spin while they wait unless told otherwise, which starves the other processes of a small machine. The
# libraries read this once, when they are loaded; subprocesses inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
