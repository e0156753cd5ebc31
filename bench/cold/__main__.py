"""`python -m bench.cold`: the section of docs/performance.md, measured anew."""

import tests.conftest  # noqa: F401 - the environment that the app wants
from bench import cold, page

text = cold.section()
page.tell("Cold start", text)
print(text)
