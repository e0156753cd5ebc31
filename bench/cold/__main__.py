"""`python -m bench.cold`: the section of docs/performance.md, measured anew."""

from bench import cold, page

text = cold.section()
page.tell("Cold start", text)
print(text)
