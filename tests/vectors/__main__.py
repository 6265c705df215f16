"""Write the test vectors anew: `python -m tests.vectors`."""

from tests.vectors.build import write

write()
