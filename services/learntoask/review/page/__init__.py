"""The page that asks people the questions of a review queue, in a browser.

    access ──► app ──► server        who may do what; routes; the process
    running                          where the page is served on this machine
    cards, reveal, visible ──► templates    what a person sees, as plain data, then as HTML

A person answers before the page shows anything that a machine answered ("blind first"), so `cards` builds two things:
a card without votes, and the same card with them, which only the response to an answer contains.
"""
