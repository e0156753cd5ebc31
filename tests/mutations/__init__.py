"""Each condition of each write of a group-buy switched off in turn, to see that some race or model test notices.

    make mutations                     all of them, into docs/proof-groupbuys.md; takes a while
    pytest tests/mutations             a few of them, and that the table knows every condition

terms     what conditions there are, and how one is switched off
reasons   why those may stay that nobody notices
"""
