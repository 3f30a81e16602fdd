"""English phrases.

Refusals and non-answers of English are the defaults of a pack (core.pack).
"""

from __future__ import annotations

from learntoask.core.languages.phrases import Phrases

# Regular expressions that find a request in an English sentence without a question mark. They describe the language,
# not a domain: interrogatives, inverted auxiliaries, imperatives that want an answer ("tell me the date"), and needs to
# know ("I need your number").
_WH = r"(?:what|when|where|which|who|whom|whose|how|why)"
_AUXILIARY = r"(?:do|does|did|is|are|was|were|will|would|can|could|should|may|shall)"
_SUBJECT = r"(?:you|i|we|it|they|he|she|there|this|that|these|those|the|your|any|anyone)"
_CLAUSE_START = (
    r"(?:(?:^|[,;:]\s*)(?:(?:and|but|also|so|then|now|just|first|please|kindly|ok|okay|sure|yes)\s+){0,3}"
    r"|\b(?:please|kindly|need you to)\s+)"
)
_LEAD_IN = (
    r"(?:(?:about|around|at|by|for|from|in|of|on|or|since|till|to|until|with|well|hi|hello|great)\s+){0,2}"
)
_ASIDE = r"(?:'(?:d|ll)|\s+(?:will|would|also|still|just|only|do|first|have))*"
_STATE = (
    r"(?:tell|provide|specify|state|indicate|share|enter|type|choose|select|pick|name|describe|mention|list"
    r"|confirm|clarify|verify|advise)"
)
_OBJECT = r"(?:me|us|your|the|a|an|if|whether|any|all|every|everything|one|either|" + _WH + r")\b"
_WAIT = r"(?!\s+(?:a|an|one|just a)\s+(?:moment|minute|second|sec|chance)\b)"
_OFFER = (
    r"(?!\s+(?:if (?:you(?:'d|\s+would|\s+have|\s+need|\s+want|\s+require)?\s+(?:like\s+)?"
    r"(?:any|anything|help|more|further|other|me|us|assistance|to)\b|there\b|i\b|we\b|that\b)"
    r"|how (?:i|we|it)\b|(?:when|once) you(?:'re| are) ready))"
)

_QUESTIONS: tuple[str, ...] = (
    # "from which city", "and when"; not "what a day", "When you arrive, the car is ready.", "…, which is a Monday."
    _CLAUSE_START + _LEAD_IN + _WH + r"(?:'?s)?\b(?!\s+(?:a|an|great|nice|wonderful)\b)"
    r"(?!\s+(?:you|i|we|the|your|it)\b[^,]*,)(?!(?<=which|..who)\s+(?:is|are|was|were|has|had|can|will|means)\b)",
    # "Hello where would you like …"
    r"\b" + _WH + r"(?:\s+\w+){0,2}\s+" + _AUXILIARY + r"\s+" + _SUBJECT + r"\b",
    # inversion: "Is there a …", "Have you …"
    _CLAUSE_START + _AUXILIARY + r"\s+" + _SUBJECT + r"\b",
    _CLAUSE_START + r"(?:have|has)\s+(?:you|it|there|he|she|they|any)\b",
    r"\b(?:can|could|would|will|do|did|are) you\b",
    # imperatives that want an answer
    _CLAUSE_START + r"(?:tell|give|send|inform|show)\s+(?:me|us)\b" + _WAIT,
    _CLAUSE_START + _STATE + r"\s+" + _OBJECT,
    r"\bplease\s+(?:also\s+)?" + _STATE + r"\s",
    r"\blet (?:me|us) know\b" + _OFFER,
    # statements of a need to know
    r"\b(?:i|we)" + _ASIDE + r"\s+(?:need|require)\s+(?:(?:you )?to (?:know|ask)\b"
    r"|your\b(?!\s+(?:help|assistance|advice)\b)|the following\b"
    r"|(?:some|more|a few|a little|a bit|any)\b.{0,25}\b(?:information|info|details?|questions?|data)\b"
    r"|the\s+(?!\w+(?:\s+\w+)*\s+(?:from|till|until|on|at|by|for|in)\s+(?!which\b))[^\d]*$"
    r"|an?\s+(?:\w+\s+){1,4}?(?:from you|to (?:continue|proceed|start|search|look)\b))",
    r"\b(?:i|we)" + _ASIDE + r"\s+(?:like|want|need|have)\s+(?:you )?to (?:know|ask)\b",
    # "Your date of birth, please."
    r"^(?:(?:and|also|then)\s+)?(?:your|the|which|what|number|name)\b\D*\bplease\W*$",
)

_SMALL_TALK: tuple[str, ...] = (
    r"\b(?:how|what) (?:can|may|could) (?:i|we) (?:help|do|assist)\b",
    r"\bhow are you\b",
    r"\b(?:may|can) (?:i|we) (?:help|assist)\b",
    r"\b(?:any|some)thing (?:else|more|further)\b.*\b(?:add|mind|need|help|know|do for|assist)\b",
    r"^\W*(?:and |is there |will there be )?anything else\W*$",
    r"\bis (?:that|this|it|everything) (?:all|correct|right|ok|okay|fine|accurate)\b",
    r"\b(?:correct|right|okay|confirm|am i right)\W*$",
    r"\bdo(?:es)? (?:that|this|these|it|they) (?:sound|work|look)\b",
    r"\b(?:confirm|verify)(?:ing)?\b",
    r"\bare you (?:still )?there\b",
)
_HANDOFFS: tuple[str, ...] = (
    r"\b(?:transfer|connect|refer|forward|escalat|redirect|hand|pass|put)\w*\b.{0,25}\b(?:you|this|it)\b",
    r"\b(?:colleague|supervisor|manager|specialist|another (?:agent|department))\b",
)

ENGLISH = Phrases(questions=_QUESTIONS, small_talk=_SMALL_TALK, handoffs=_HANDOFFS)
