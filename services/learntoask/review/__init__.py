"""The review queue: what people are asked about a run, what they answered, and the page that asks them.

    records ──► response ──► state ──► next_item ─┐
                                  └──► progress ──┤
    storage/ ────────────────────────────────────►queue ──► page/, exchange/     (docs/calibration.md)

An item is immutable and named by its digest. The state of a queue is a fold over events that are only ever added, so
that several processes may write at once and each of them may be killed between two writes.

    settings        how many answers are wanted, and how often attention is checked
    response        what one reviewer did with one item, from events
    state           the same for a whole queue, kept up to date event by event
    votes           what the judges say together
    open_items      the items that need answers, in the order in which they are asked
    choice_order    the order in which a reviewer sees the choices
    next_item       which item a reviewer is asked next
    reading_time    how fast an answer can come from somebody who has read the text
    flags           signs that answers should not be trusted
    agreement       agreement between reviewers
    progress        figures of a queue: answers missing, pace, agreement, flags
    frozen          the answers that stand, as bytes with a digest
    storage/        items and events in a folder, or as objects in a bucket
    exchange/       answers in files: JSON Lines, Label Studio, Argilla
"""
