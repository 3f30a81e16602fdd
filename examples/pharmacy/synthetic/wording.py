"""What people say in the synthetic pharmacy logs: the experts' questions, the users' answers, and small talk.

Written without looking at `pack.yaml`: questions as different people would type them, many of them indirect, so
that the pack's patterns meet wording they were not made for. `{you}`, `{are}`, … in an expert's lines become
"you are" or "she is"; `{I}`, `{Im}`, … in a user's become "I", "I'm" or "she", "she's". `{v}` is a value.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUIRED = ("symptom", "duration", "age", "other_medicines", "allergies")
OPTIONAL = ("other_symptoms", "conditions", "pregnancy", "tried")


@dataclass(frozen=True)
class Expert:
    """One person behind the counter; the rest are probabilities, per turn unless the name says otherwise."""

    name: str
    order: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]
    acks: tuple[str, ...]
    thorough: float  # chance that an optional field is wanted at all
    double: float = 0.1  # two items in one turn
    burst: float = 0.1  # a turn typed as several messages
    typo: float = 0.02  # a typo in a message
    redundant: float = 0.0  # asks again what the user has said
    early: float = 0.0  # per session: acts with something still unknown
    late: float = 0.03  # per session: goes on talking when all is known


MAREN = Expert(
    name="maren",
    order=(
        "symptom",
        "age",
        "duration",
        "other_medicines",
        "allergies",
        "pregnancy",
        "conditions",
        "tried",
        "other_symptoms",
    ),
    questions={
        "symptom": ("What's bothering {you}?", "What is it about?", "Tell me what's wrong."),
        "duration": ("Since when?", "How long already?", "When did that start?"),
        "age": ("Age?", "How old {are} {you}?", "And the age, please."),
        "other_symptoms": ("Fever?", "Other complaints besides that?", "Anything else going on?"),
        "other_medicines": ("Any other tablets at the moment?", "{Are} {you} on anything?", "Other meds?"),
        "allergies": ("Allergies?", "Allergic to anything?", "Anything {you} can't tolerate?"),
        "conditions": ("Any long-term illness?", "Heart, kidneys, diabetes?", "Chronic conditions?"),
        "pregnancy": ("Pregnant or breastfeeding?", "Could a baby be on the way?"),
        "tried": ("Tried anything yet?", "Used something already?", "What has been done about it so far?"),
    },
    acks=("Ok.", "Got it.", "Thanks.", "Right."),
    thorough=0.15,
    double=0.15,
    burst=0.05,
)

TOBIAS = Expert(
    name="tobias",
    order=(
        "symptom",
        "duration",
        "other_symptoms",
        "tried",
        "age",
        "allergies",
        "other_medicines",
        "conditions",
        "pregnancy",
    ),
    questions={
        "symptom": (
            "So what seems to be the trouble?",
            "Could you describe to me what {you} {are} feeling?",
            "What can I do for you, what's going on?",
        ),
        "duration": (
            "How many days has this been going on for now?",
            "Has this just come on, or has it been around for a while?",
            "Roughly when did {you} first notice it?",
        ),
        "age": (
            "May I ask how old {you} {are}?",
            "Just so that I look on the right shelf, what year {were} {you} born in?",
            "Which age are we talking about, roughly?",
        ),
        "other_symptoms": (
            "Have there been other symptoms, a temperature for example?",
            "Is it only that, or is something else playing up too?",
        ),
        "other_medicines": (
            "Do tell me, {are} {you} taking any other medicines these days?",
            "Is there something {you} {take} every morning, say for the blood pressure?",
            "Are there any medicines from the doctor that I should know about?",
        ),
        "allergies": (
            "Do you know of any allergies?",
            "Has {your} body ever reacted badly to a medicine or a food?",
            "Is there anything {you} {have} had a bad reaction to, a rash or so?",
        ),
        "conditions": (
            "{Have} {you} got any medical conditions I ought to know of?",
            "Is {your} health fine otherwise, or does {your} doctor keep an eye on something?",
        ),
        "pregnancy": (
            "I have to ask everybody this: any chance of being pregnant, or nursing?",
            "And sorry for being direct, {are} {you} expecting or breastfeeding?",
        ),
        "tried": (
            "What {have} {you} tried so far?",
            "Did you give anything a go at home yet?",
        ),
    },
    acks=(
        "Oh dear, that sounds unpleasant.",
        "Thank you, that helps a lot!",
        "I see, I see.",
        "Good to know.",
    ),
    thorough=0.3,
    burst=0.5,
    typo=0.05,
)

INES = Expert(
    name="ines",
    order=(
        "age",
        "symptom",
        "duration",
        "conditions",
        "other_medicines",
        "allergies",
        "pregnancy",
        "other_symptoms",
        "tried",
    ),
    questions={
        "symptom": (
            "Could you please tell me which symptoms this is about?",
            "Which complaint would you like to treat?",
        ),
        "duration": (
            "For how long {have} {you} had these symptoms?",
            "On which day did the complaint begin?",
            "Could you tell me the time span we are speaking of?",
        ),
        "age": (
            "Could you please tell me {your} age?",
            "May I have the date of birth, the year is enough?",
            "Is this for an adult, and if so how many years old?",
        ),
        "other_symptoms": (
            "{Have} {you} noticed any accompanying symptoms such as fever?",
            "Apart from this, does {your} body show any further signs?",
        ),
        "other_medicines": (
            "{Do} {you} regularly take any medication?",
            "Please list everything else {you} currently {take}.",
            "Are there prescriptions that {you} {are} on at present?",
        ),
        "allergies": (
            "{Do} {you} have any known allergies or intolerances?",
            "Are there active ingredients that must be avoided in {your} case?",
        ),
        "conditions": (
            "{Do} {you} suffer from any pre-existing conditions?",
            "{Have} {you} been diagnosed with anything, for instance asthma or diabetes?",
            "Please also mention whatever {you} {are} under treatment for.",
        ),
        "pregnancy": (
            "{Are} {you} currently pregnant or breastfeeding?",
            "Is there a pregnancy to be considered?",
        ),
        "tried": (
            "Which remedies {have} {you} already used?",
            "Has any treatment been attempted before?",
        ),
    },
    acks=("Thank you for the information.", "Noted, thank you.", "Understood."),
    thorough=0.55,
    double=0.03,
    burst=0.02,
    typo=0.0,
)

YUSUF = Expert(
    name="yusuf",
    order=(
        "symptom",
        "allergies",
        "other_medicines",
        "duration",
        "age",
        "tried",
        "conditions",
        "pregnancy",
        "other_symptoms",
    ),
    questions={
        "symptom": ("whats up, what can we help with today?", "what kind of problem is it exactly?"),
        "duration": ("how long has it been like this?", "is that a new thing or have you had it for ages?"),
        "age": ("how old is the person it's for?", "kid or grown up? need the years pls"),
        "other_symptoms": ("any fever or other symptoms with it?", "is it coming with anything else?"),
        "other_medicines": (
            "{are} {you} taking any other medication right now?",
            "what else is in the medicine cabinet that gets used daily?",
            "any pills on the side?",
        ),
        "allergies": ("any allergies i should know of?", "stuff that makes {them} come out in spots?"),
        "conditions": ("any health conditions like asthma or high blood pressure?", "otherwise healthy?"),
        "pregnancy": ("not pregnant or nursing, right?", "no little one on the way?"),
        "tried": ("have you already tried something for it?", "what did you put on it or take up to now?"),
    },
    acks=("ok cool", "alright", "thx", "gotcha"),
    thorough=0.25,
    double=0.45,
    burst=0.25,
    typo=0.08,
)

KIT = Expert(
    name="kit",
    order=(
        "symptom",
        "other_medicines",
        "age",
        "duration",
        "allergies",
        "tried",
        "other_symptoms",
        "conditions",
        "pregnancy",
    ),
    questions={
        "symptom": ("Hi, what do you need?", "What's the matter then?", "Where does it hurt?"),
        "duration": ("How long {have} {you} had it?", "When did it begin?", "Is it recent?"),
        "age": ("What age?", "Who is it for?", "How old?"),
        "other_symptoms": ("Anything else {you} noticed?", "Any temperature?"),
        "other_medicines": (
            "Taking anything else?",
            "Other medicine?",
            "Do you get anything on prescription?",
        ),
        "allergies": ("Any allergies?", "Is there something that doesn't agree with {them}?"),
        "conditions": ("Any illnesses?", "Do you see a doctor regularly?"),
        "pregnancy": ("Pregnant?", "Breastfeeding or anything like it?"),
        "tried": ("Did you take anything for it?", "Had a remedy for that before?"),
    },
    acks=("k", "Ok", "Hm ok.", "Sure."),
    thorough=0.3,
    burst=0.15,
    typo=0.1,
    redundant=0.14,
    early=0.35,
    late=0.35,
)

EXPERTS = (MAREN, TOBIAS, INES, YUSUF, KIT)
EXPERT_WEIGHTS = (3, 3, 2, 3, 3)


def both(first: str, second: str) -> str:
    """Two questions in one sentence."""
    return f"{first} And {second[0].lower()}{second[1:]}"


# --- the users' side -------------------------------------------------------------------------------------------

COMPLAINTS = (
    "a headache",
    "a sore throat",
    "a runny nose",
    "a dry cough",
    "heartburn",
    "itchy eyes",
    "an itchy rash on the arm",
    "mosquito bites",
    "a stiff neck",
    "a sore back",
    "trouble falling asleep",
    "a blocked nose",
    "a cold sore",
    "mild sunburn",
    "dry cracked hands",
    "an upset stomach",
    "sore muscles",
    "a bloated belly",
)
OPENERS_FULL = (
    "hi, {Ive} got {v}, do you have something for it?",
    "Hello! {Ive} had {v} and would like something against it",
    "need something for {v} please",
    "Good morning, what would you recommend for {v}?",
    "hey. {v}. help :(",
    "hi there, can I order something for {v} here? it is for {me}",
)
OPENERS_OTHER = (
    "hi, my {noun} has got {v}, what can we get?",
    "Hello, I'm looking for something for my {noun}, {I} has {v}",
    "my {noun} has {v} and I don't know what to buy",
)
OPENERS_VAGUE = (
    "hi",
    "hello, is somebody there?",
    "Good evening, I would like some advice",
    "hey can you help me pick something",
    "I need something from the counter, no prescription",
)
RELATIVES = (  # noun, subject, youngest, oldest
    ("daughter", "she", 2, 16),
    ("son", "he", 2, 16),
    ("mother", "she", 50, 84),
    ("husband", "he", 25, 70),
    ("wife", "she", 25, 70),
    ("dad", "he", 50, 84),
    ("little one", "she", 2, 5),
)
SYMPTOM_REPLIES = ("{v}", "{Ive} got {v}", "it's {v}", "mostly {v} i guess", "well, {v}, nothing dramatic")

DURATIONS = (
    "two days",
    "three days",
    "about a week",
    "ten days",
    "two weeks",
    "a few hours",
    "a month or so",
)
DURATION_REPLIES = ("{v}", "for {v} now", "{v} i think", "started {v} ago", "must be {v}")
SINCE = ("yesterday", "Sunday", "last Thursday", "this morning", "the weekend")
SINCE_REPLIES = ("since {v}", "since {v} more or less", "started {v}", "{v}")
AGE_REPLIES = ("{v}", "{Im} {v}", "{v} years old", "{v} years", "for {me}, {v}")
PREGNANCIES = ("fifth month", "breastfeeding", "third month")
SYMPTOMS_TOO = ("a slight fever", "a runny nose", "a bit of nausea", "being tired all day", "some sneezing")
MEDICINES = (
    "blood pressure tablets",
    "the pill",
    "a thyroid tablet",
    "an asthma inhaler",
    "vitamin D",
    "iron tablets",
)
ALLERGENS = ("penicillin", "pollen", "nuts", "lactose", "nickel", "plasters", "cat hair")
CONDITIONS = ("high blood pressure", "asthma", "type 2 diabetes", "a thyroid thing", "migraine", "eczema")
REMEDIES = (
    "some tea",
    "a hot bath",
    "a cold pack",
    "resting",
    "a home remedy",
    "a leftover from the cupboard",
)
VALUES = {  # field: possible values, share of the people who have one
    "other_symptoms": (SYMPTOMS_TOO, 0.5),
    "other_medicines": (MEDICINES, 0.45),
    "allergies": (ALLERGENS, 0.4),
    "conditions": (CONDITIONS, 0.35),
    "tried": (REMEDIES, 0.6),
}

POSITIVE = {
    "pregnancy": ("yes, {v}", "{v}, yes"),
    "other_symptoms": ("yes, {v}", "{v} too", "well, {v}", "{v}"),
    "other_medicines": ("{v}", "yes, {v}", "just {v}", "{v}, every day", "only {v}"),
    "allergies": ("{v}", "yes, {v}", "{v} but only mildly", "{Im} allergic to {v}"),
    "conditions": ("{v}", "yes, {v}", "well, {v}, under control", "there is {v}"),
    "tried": ("{v}", "just {v}, didn't do much", "{v} so far", "yes, {v}, no luck"),
}
NEGATIVE = {
    "other_symptoms": ("no", "nope that's all", "nothing else", "no, otherwise fine"),
    "other_medicines": ("no", "nothing", "none", "no tablets, nothing", "nope"),
    "allergies": ("no", "none that I know of", "not that I'm aware of", "no allergies", "nope none"),
    "conditions": ("no", "no, healthy", "nothing like that", "none"),
    "pregnancy": ("no", "no no", "nope", "definitely not"),
    "tried": ("no", "nothing yet", "not really", "no, came straight to you"),
}
NOT_APPLICABLE = ("not applicable", "no, I'm a man :)")
WIFE = "wife"
VOLUNTEERED = {
    "duration": ("it started {v} ago", "{Ive} had it for {v}"),
    "since": ("since {v}", "it's been there since {v}"),
    "age": ("{Im} {v} by the way", "{Im} {v} years old if that matters"),
    "other_symptoms": ("also {v}", "and {v} on top"),
    "other_medicines": ("oh and there's {v}, every day", "I should say there's {v} in the mix"),
    "allergies": ("{Im} allergic to {v} btw", "just no {v} please, {Im} allergic"),
    "conditions": ("there's also {v}, in case that matters", "you should know about {v} too"),
    "tried": ("already tried {v}", "{v} didn't help"),
    "pregnancy": ("and, important I guess: {v}",),
}
UNKNOWN = (
    "no idea",
    "I don't know, sorry",
    "hm not sure tbh",
    "couldn't tell you",
    "can't remember",
    "dunno",
    "I'd have to look that up",
)
OFF_TOPIC = (
    ("do you deliver on saturdays?", "Yes, until noon."),
    ("btw can I pay with paypal", "Yes, PayPal works at the checkout."),
    ("sorry the doorbell, one sec", "No problem, take your time."),
    ("is this a real person?", "Yes, a real one :)"),
    ("how much is shipping?", "Free from 20 euros on."),
    ("my last parcel was late, just saying", "I'm sorry about that, I will pass it on."),
    ("are you open tomorrow?", "The chat is open from 8 to 8."),
    ("do I get points on my customer card for this?", "You do, they are added by themselves."),
)
GREETINGS = (
    "Welcome to the counter, how can I help?",
    "Hello, you are talking to the pharmacy team.",
    "Hi! Good to have you here.",
)
FILLERS = (
    ("Have you tried our new app, by the way? It remembers your orders.", "no, not interested"),
    ("How long did you have to wait for me? Sorry, busy day.", "no worries"),
    ("Which email should the invoice go to?", "the one in my account"),
    ("Anything else you would like to add?", "no thats it"),
    ("Is there something more on your mind?", "not really"),
    ("One moment please, I'm making a note.", "ok"),
    ("Do you prefer a cream or a spray, if there is a choice?", "whatever works"),
)
ACTIONS = (
    "Thank you, that is all I need. I'll look for something suitable.",
    "Perfect, I'm checking what we have for that.",
    "Thanks! Let me see what fits.",
    "ok, searching now",
    "Alright, I have everything. One moment while I look it up.",
)
RESULTS = (
    "I put a suggestion in your basket, please read the leaflet first.",
    "There is something suitable in your basket now. If it does not get better, please see a doctor.",
    "Have a look at your basket :) the leaflet says how to use it.",
)
THANKS = ("thanks!", "great, thank you", "ok bye", "perfect thx", "Thank you very much, have a nice day")
WELCOME = ("You're welcome, get well soon!", "Bye, all the best!", "My pleasure.")
HANDOFFS = (
    "I would rather have our pharmacist ring you about this, she will be in touch within the hour.",
    "I'm transferring you to my colleague at the prescription desk.",
    "For that I have to pass you on to a pharmacist, please hold the line.",
    "This is one for your doctor, please make an appointment there today.",
    "My shift ends here, a colleague takes over in a minute.",
)
LEAVING = (
    "brb",
    "have to run, later",
    "forget it, I'll go to the shop",
    "hm let me think about it",
    "sorry bus is here",
)

STILL_THERE = "Are you still there?"
TEST_CHATS = ("testing the chat widget, please ignore", "test test, staff only, please ignore")
