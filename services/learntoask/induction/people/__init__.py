"""What people say about a suggestion: at most thirty cards of a review queue, and what follows from the answers.

cards    the questions to people, those that could change the most labels
said     the answers, by the texts of the logs, so that they hold for the next suggestion too
rounds   which cards are asked when
queue    the review queue in the folder of the pack
"""
