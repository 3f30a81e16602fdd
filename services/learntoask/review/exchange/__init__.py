"""Answers and items in files, for other programs and from them.

answer_line     an answer as a line of this product's own format, which stays stable
export          what is written: answers, or items as tasks of Label Studio and records of Argilla
parse           from the bytes of a file to answers, and to refusals that name line and fault
  label_studio  Label Studio's JSON export
  argilla       Argilla's JSON export
import_answers  from answers to events of a queue
"""
