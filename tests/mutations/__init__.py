"""Each condition of each write switched off in turn, to see that some test notices.

    make mutations                     all of them, into docs/proof-conditions.md; takes hours
    make mutations ROOM=coupons        those of one room
    pytest tests/mutations             a few of them, and that the table knows their terms

terms     what conditions there are, and how one is switched off
trial     which tests may notice, and whether one does
reasons   why those may stay that nobody notices
"""
