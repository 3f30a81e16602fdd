"""`lta rollout`: shows and steers the rollout of a gateway, replays it from records, and simulates others.

commands   the commands
judge      the page on which people judge answers that differ
tables     what they print
page       the HTML page of `lta rollout report` (page.html.j2)
"""
