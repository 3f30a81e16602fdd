"""The fluency guard accepts questions of every form, and refuses what asks nothing even if it is fluent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.pack import Fluency, Pack
from learntoask.grading.fluency import FluencyGuard, fluency_guard
from learntoask.grading.nonquestions import non_questions

QUESTIONS = [
    "Which city?",
    "Where are you leaving from?",
    "What date and time would you like to pick it up?",
    "How long have you had the pain",
    "when would you like to leave",
    "From which airport do you want to fly",
    "And for how many people.",
    "Please tell me the date.",
    "Tell me the number of baths.",
    "I need your phone number.",
    "I'll need the dates on which you'd like to pick the car up, and return the car.",
    "I just need to know what date you will be leaving.",
    "I need to know where you prefer to pick it up.",
    "We would need to know your date of birth first.",
    "Could you give me a few more details.",
    "Give me a city to check.",
    "Let me know the destination, please.",
    "Please let me know whether you prefer a shared ride.",
    "Please confirm the pick up time.",
    "No problem. Please confirm pickup and drop off dates for this rental.",
    "Your destination please.",
    "Your date of birth, please",
    "Departure date and destination?",
    "Is there a particular airline you prefer?",
    "Do you have any allergies",
    "Any allergies?",
    "Have you taken anything for it yet",
    "Are you pregnant or breastfeeding?",
    "I'm sorry to hear that. How long has it been going on?",
    "I'm sorry, which city was that?",
    "Sorry, I did not catch that. What is your name?",
    "Unfortunately there are no seats left. Would another day suit you?",
    "Sure, in which city and which restaurant?",
    "It would help to know: does it itch or burn",
    "Hello! May I have your account number",
    "Okay, and then what time",
    "Choose a room type: single or double.",
    "Specify your seating class.",
    "Would you prefer to take a pool or regular or something else.",
    "I'd like to know how much you want to send.",
    "Your age???",
    "Hmm...... and how long has that been going on?",
    "What is your number, 1000000 or higher?",
    "Which doctor do you want to see, and when?\nMornings or afternoons?",
    "Wo tut es weh?",
    "您从哪里出发，什么时候走？",
    "多大？",
    "나이는요?",
    "年齢は？",
    "有没有发烧，有没有咳嗽，有没有过敏？",
    # more than forty characters without a space
    "请问您是从什么时候开始感觉到头痛的疼痛大概持续了多长时间有没有伴随发烧或者恶心呕吐的症状？",
    "คุณเริ่มมีอาการปวดศีรษะตั้งแต่เมื่อไรและมีอาการคลื่นไส้อาเจียนร่วมด้วยหรือไม่",
]

NON_QUESTIONS = [
    # apologies and refusals, as small instruction-tuned models make them
    "I'm sorry, but as an AI I don't have the ability to book flights or hotels.",
    "I'm sorry, but as an AI language model, I don't have access to real-time information about restaurants.",
    "I am sorry, I cannot book a table for you at this time.",
    "I'm unable to make reservations.",
    "I don't have the ability to search for rental cars in your city.",
    "I'm sorry for your loss, but as a car rental service, I'm unable to assist with finding a rental car.",
    "I'm sorry for any misunderstanding, but as a chatbot, I'm designed to assist with general information.",
    "I'm glad I could help. You're right, I'm glad I could help. You're right, I'm glad I could help.",
    "As an AI, I do not have personal preferences, but I can give you some general information about cities.",
    "I apologize for the confusion, but there seems to be no event on that date.",
    "Unfortunately, I can't provide the phone number of the pharmacy.",
    "I cannot access your account or the date of your last transfer.",
    "Sorry, that is not something I am able to do.",
    "I do not have enough information about the departure city and the date of travel.",
    "My apologies, the destination you named is not served by our buses.",
    "I'm sorry, I can't help you with that, sorry?",
    # confirmations
    "Your reservation is confirmed for 7 pm.",
    "To confirm, your appointment is at 11:45 am next Tuesday.",
    "Alright. I'll look for reservations for March 10th in Seattle.",
    "You want 1 room for 4 days in London with a check in date of today.",
    "Okay then, you need 1 room for 10 days and you arrive the day after tomorrow.",
    "Got it: pick up in San Diego on Friday at 10 am, return on Sunday.",
    "I have booked a table for two at the restaurant in the city.",
    "Great, the ticket for the concert on the 8th has been sent to your email address.",
    "So that is one adult, leaving on Monday and coming back on Friday.",
    "Perfect, I have all the details now.",
    # statements and explanations
    "There are ten flights on that day.",
    "I found 3 flights. The cheapest one leaves at 11:40 am for $273.",
    "The price depends on the date and on the number of passengers.",
    "A departure city is the city where the trip starts.",
    "Ibuprofen can be taken up to three times a day with food.",
    "Headaches can have many causes, such as stress, lack of sleep or allergies.",
    "When you arrive, the car will be ready at the counter.",
    "You can pick up the car from Wednesday, which is a weekday, until Thursday.",
    "Ask the doctor, who will explain it.",
    "How nice, a weekend in Paris!",
    "What a great choice of restaurant!",
    "That is what experts usually want to know before they recommend a remedy.",
    "The best time to visit depends on where and when the event takes place.",
    "It is important to know the patient's age and other medicines.",
    "The number of beds is two and the number of baths is one.",
    "Rental cars are available in most cities, from small to large.",
    "Here are some tips for choosing a date, a city and a time.",
    "Buses leave every hour from the central station.",
    "Economy is cheaper than business class.",
    "1. City\n2. Date\n3. Time",
    "City: San Francisco. Date: March 8th. Time: 7 pm.",
    # promises, offers, thanks
    "Let me check that for you.",
    "Let me book the flight to Paris on Monday for you.",
    "Please wait a moment while I look up the flights.",
    "Give me a moment to find the right doctor.",
    "I will search for buses from Sacramento now.",
    "Sure, I can help you with that.",
    "I'd be happy to help you find a hotel in that city!",
    "Thank you for your patience.",
    "You're welcome! Have a great trip.",
    "Let me know if you need anything else.",
    "Let me know if you have any other questions.",
    "Please let me know how I can help you further.",
    "Feel free to reach out at any time.",
    "I need a moment to check the dates.",
    # what a user would say
    "I need a flight.",
    "I need the car from the 5th until the 8th.",
    "I want to leave from Sacramento on Friday.",
    "My name is Ann and I am 34.",
    "The 14th of March, please.",
    "Two tickets for tomorrow please.",
    "Yes, that works for me.",
    # loops, leaks and noise
    "city city city city city city city?",
    "What date what date what date what date?",
    "What is the date? What is the date?",
    "the the the the car",
    "what city do you want what city do you want what city do you want",
    "Is??????????????????????",  # everything that a policy said after a few steps of SFT
    "Do you have any other????????????????",
    "Is it ellellellellellellellellellellell?",
    "Where does it hurt? !!!!!!!!!!!!!!!!!!!!!!",
    "Is it? ? ? ? ? ? ? ? ? ? ? ?",
    "Which city?<|im_end|>",
    "Which city?\nuser: Paris\nassistant: And when?",
    "Which city? <stop>",
    "Where to? " * 30,
    "what " + "x" * 60 + "?",
    "",
    "?",
    "   \n ",
    "...",
    "Why",
]

PACK = Pack.model_validate(
    {
        "name": "any",
        "tasks": [
            {"name": "trip", "fields": [{"name": "city"}, {"name": "date"}, {"name": "number_of_seats"}]},
            {"name": "care", "fields": [{"name": "symptom"}, {"name": "age"}]},
        ],
    }
)
GUARD = FluencyGuard(PACK)


@pytest.mark.parametrize("text", QUESTIONS)
def test_whatever_asks_is_a_question(text):
    assert GUARD.asking(text)


def test_non_questions_are_refused():
    assert len(NON_QUESTIONS) >= 60
    assert [text for text in NON_QUESTIONS if GUARD.asking(text)] == []


def test_apologies_in_the_words_of_the_pack_are_refused():
    made = [text for _, text in non_questions(PACK)]
    assert len(made) >= 2 * 18
    assert [text for text in made if GUARD.asking(text)] == []


def test_only_the_sentences_that_ask_are_returned():
    text = "I can help you with that. Where do you want to go? Paris is nice! Tell me the date."
    assert GUARD.asking(text) == ("Where do you want to go?", "Tell me the date.")


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"min_words": 3}, "Which city?"),
        ({"max_words": 4}, "Which city do you want?"),
        ({"forbidden": (r"\b\d+ ?mg\b",)}, "Do you take 200 mg of it?"),
        ({"refusals": (r"^no can do",)}, "No can do, tell me the date."),
        ({"max_repeated_word_share": 0.2}, "Which city and which date and which time?"),
    ],
)
def test_the_packs_rules_decide(rules, text):
    assert GUARD.asking(text)
    strict = PACK.model_copy(update={"fluency": Fluency(**rules)})
    assert not FluencyGuard(strict).asking(text)


def test_a_pack_brings_the_cues_of_its_language():
    swedish = PACK.model_copy(update={"language": "sv"})
    assert not FluencyGuard(swedish).asking("Var snäll och säg mig datumet.")
    assert FluencyGuard(swedish).asking("Vilket datum?")
    cued = swedish.model_copy(update={"fluency": Fluency(questions=(r"\bsäg mig\b",))})
    assert FluencyGuard(cued).asking("Var snäll och säg mig datumet.")


@pytest.mark.parametrize("curly", [str, lambda text: text.replace("'", "’")])
def test_curly_and_straight_apostrophes_are_the_same(curly):
    assert GUARD.asking(curly("What's the date you'd like?"))
    assert not GUARD.asking(curly("I'm sorry, I can't help you with that, I'm sorry?"))
    assert not GUARD.asking(curly("I don't have access to real-time data?"))


@pytest.mark.parametrize("hidden", "\u200b\u2060\u00ad\ufeff\u200f\u202a")
def test_characters_that_nobody_sees_change_no_verdict(hidden):
    assert GUARD.asking(f"Which{hidden} ci{hidden}ty?{hidden}")
    assert not GUARD.asking(f"I {hidden}am{hidden} sorry, I can{hidden}not help you with that, sorry?")
    assert not GUARD.asking(hidden * 8)


def test_every_refusal_has_a_reason_that_names_the_rule():
    assert GUARD.refusal("Which city?") is None
    for text, key in [
        ("City?", "minWords"),
        ("what " * 90 + "?", "maxWords"),
        ("The city is far away.", "fluency.questions"),
        ("Which <stop /> city?", "end marker"),
    ]:
        assert key in str(GUARD.refusal(text))


@settings(deadline=None)  # the first example pays for compiling patterns
@given(st.text(max_size=200))
def test_any_text_gets_a_verdict_and_it_quotes_the_text(text):
    for sentence in GUARD.asking(text):
        assert sentence in text
    assert fluency_guard(PACK)(text) == bool(GUARD.asking(text))
