"""A day under load: people of a mixed day call a served stack at times that were set before, whatever it answers.

python -m bench.load            the rate is raised until it bends, then ten minutes at half of it
day.py                          who calls what, when
setting.py                      what these people find: links, campaigns, templates, and themselves
calling.py                      the calls, at their times
figures.py                      what came of them, and when that is called bent
watching.py                     what the stack has used, and what it still owes
auditing.py                     afterwards: every row of both tables against the rules, and against the answers
telling.py                      the section of docs/proof.md
"""
