"""Each language's phrases find its requests, and neither its statements nor its refusals."""

from __future__ import annotations

import pytest
from learntoask.core.languages.pack_phrases import PHRASES, PackPhrases
from learntoask.core.pack import Pack
from learntoask.core.text.characters import plain_text
from learntoask.core.text.patterns import bounded_search
from learntoask.grading.fluency import FluencyGuard

# By language: requests without a mark, statements, refusals with a mark, replies without an answer, answers.
TEXTS: dict[str, tuple[list[str], list[str], list[str], list[str], list[str]]] = {
    "zh": (
        [
            "请问您今年多大",
            "您对什么药物过敏",
            "有没有发烧",
            "请告诉我您的年龄",
            "从什么时候开始的",
            "您在吃别的药吗",
        ],
        ["好的，我帮您找合适的药。", "没什么大问题。", "谢谢您的信息。", "这个药一天吃三次。"],
        ["作为人工智能，我无法为您提供建议？", "很抱歉？"],
        ["我不知道", "不太清楚", "等一下", "忘了"],
        ["二十五岁", "三天了", "没有过敏", "有"],
    ),
    "ja": (
        ["いつから症状がありますか", "おいくつですか。", "年齢を教えてください", "他に薬を飲んでいますか。"],
        ["お薬をお探しします。", "ありがとうございます。", "この薬は一日三回です。"],
        ["申し訳ありません、できません？"],
        ["わかりません", "よくわからない", "ちょっと待って"],
        ["三日前から", "25歳です", "はい", "ありません"],
    ),
    "ko": (
        ["증상이 언제부터 시작됐나요", "나이를 알려주세요", "몇 살입니까", "다른 약을 드시고 있나요."],
        ["약을 찾아 드리겠습니다.", "감사합니다.", "이 약은 하루에 세 번 드세요."],
        ["죄송합니다, 도와드릴 수 없습니다?"],
        ["잘 모르겠어요", "기억이 안 나요", "잠시만요"],
        ["사흘 전부터요", "스물다섯 살이에요", "없어요"],
    ),
    "th": (
        ["มีอาการมานานแค่ไหนแล้วครับ", "แพ้ยาอะไรไหมคะ", "กรุณาบอกอายุ", "อายุเท่าไหร่"],
        ["ขอบคุณค่ะ", "ยานี้กินวันละสามครั้ง", "ไม่มีอะไรน่ากังวล"],
        ["ขออภัย ไม่สามารถช่วยได้?"],
        ["ไม่รู้ค่ะ", "ไม่แน่ใจครับ", "รอสักครู่"],
        ["สามวันแล้ว", "ยี่สิบห้าปี", "ไม่มี"],
    ),
    "hi": (
        ["आपकी उम्र क्या है", "यह कब से है", "कृपया अपनी उम्र बताएं", "आपको कितने दिन से बुखार है।"],
        ["मैं आपके लिए दवा ढूंढता हूं।", "धन्यवाद।", "यह दवा दिन में तीन बार लें।"],
        ["क्षमा करें, मैं मदद नहीं कर सकता?"],
        ["मुझे नहीं पता", "याद नहीं", "पता नहीं जी"],
        ["तीन दिन से", "पच्चीस साल", "नहीं"],
    ),
    "bn": (
        ["আপনার বয়স কত", "কখন থেকে শুরু হয়েছে", "দয়া করে আপনার বয়স বলুন"],
        ["আমি আপনার জন্য ওষুধ খুঁজছি।", "ধন্যবাদ।"],
        ["দুঃখিত, আমি সাহায্য করতে পারছি না?"],
        ["আমি জানি না", "মনে নেই"],
        ["তিন দিন ধরে", "পঁচিশ বছর"],
    ),
    "ur": (
        ["آپ کی عمر کیا ہے", "یہ کب سے ہے", "براہ کرم اپنی عمر بتائیں"],
        ["میں آپ کے لیے دوا تلاش کرتا ہوں۔", "شکریہ۔"],
        ["معذرت، میں مدد نہیں کر سکتا؟"],
        ["مجھے معلوم نہیں", "پتہ نہیں"],
        ["تین دن سے", "پچیس سال"],
    ),
    "ar": (
        [
            "منذ متى تعاني من هذه الأعراض",
            "كم عمرك",
            "هل تتناول أدوية أخرى",
            "أخبرني عن عمرك",
            "صف لي الأعراض من فضلك.",
            "ما هو عمرك",
        ],
        ["سأبحث لك عن الدواء المناسب.", "شكرا لك.", "يرجى الانتظار قليلا."],
        ["آسف، لا أستطيع مساعدتك؟"],
        ["لا أعرف", "مش متأكد", "لحظة من فضلك"],
        ["منذ ثلاثة أيام", "عمري ثلاثون سنة", "لا"],
    ),
    "ru": (
        [
            "Сколько вам лет",
            "Как давно у вас это",
            "Скажите, пожалуйста, ваш возраст.",
            "Принимаете ли вы лекарства",
        ],
        ["Я подберу вам лекарство.", "Спасибо за информацию.", "Когда вы придёте, лекарство будет готово."],
        ["Извините, но я не могу вам помочь?"],
        ["не знаю", "Я точно не помню", "минутку"],
        ["три дня", "мне тридцать лет", "нет"],
    ),
    "es": (
        [
            "Cuántos años tiene",
            "Desde cuándo le duele",
            "Dígame su edad, por favor.",
            "¿Toma otros medicamentos",
        ],
        ["Le busco el medicamento.", "Gracias por la información.", "Cuando llegue, estará listo."],
        ["Lo siento, no puedo ayudarle, lo siento?"],
        ["no sé", "No lo recuerdo", "un momento"],
        ["tres días", "tengo treinta años", "no"],
    ),
    "pt": (
        ["Qual é a sua idade", "Há quanto tempo está assim", "Quantos anos tem", "Pode me dizer a idade."],
        ["Vou procurar o remédio.", "Obrigado pela informação.", "Quando chegar, estará pronto."],
        ["Sinto muito, não posso ajudar, lamento?"],
        ["não sei", "Eu não me lembro", "um momento"],
        ["três dias", "trinta anos", "não"],
    ),
    "fr": (
        [
            "Quel âge avez-vous",
            "Depuis combien de temps",
            "Merci de préciser votre âge.",
            "Prenez-vous d'autres médicaments",
        ],
        ["Je vous cherche un remède.", "Merci pour ces informations.", "Quand vous arriverez, ce sera prêt."],
        ["Je suis désolé, je ne peux pas vous aider, désolé ?"],
        ["je ne sais pas", "Aucune idée", "un instant"],
        ["trois jours", "j'ai trente ans", "non"],
    ),
    "de": (
        [
            "Wie alt sind Sie",
            "Seit wann haben Sie das",
            "Bitte nennen Sie mir Ihr Alter.",
            "Nehmen Sie andere Medikamente",
        ],
        ["Ich suche Ihnen etwas heraus.", "Danke für die Auskunft.", "Wenn Sie kommen, ist alles fertig."],
        ["Tut mir leid, ich kann Ihnen nicht helfen, tut mir leid?"],
        ["weiß ich nicht", "Keine Ahnung", "Moment bitte"],
        ["drei Tage", "ich bin dreißig", "nein"],
    ),
    "id": (
        [
            "Berapa umur Anda",
            "Sudah berapa lama keluhannya",
            "Apakah ada alergi obat",
            "Tolong sebutkan usianya.",
        ],
        ["Saya carikan obatnya.", "Terima kasih atas informasinya."],
        ["Maaf, saya tidak bisa membantu, maaf, saya?"],
        ["tidak tahu", "Saya kurang yakin", "sebentar"],
        ["tiga hari", "tiga puluh tahun", "tidak ada"],
    ),
}


def pack(language: str) -> Pack:
    return Pack.model_validate(
        {"name": "any", "language": language, "tasks": [{"name": "x", "fields": [{"name": "age"}]}]}
    )


def matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(bounded_search(pattern)(plain_text(text)) for pattern in patterns)


def test_every_language_but_english_is_here() -> None:
    assert TEXTS.keys() == PHRASES.keys() - {"en"}


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_requests_statements_and_refusals_are_told_apart(language: str) -> None:
    guard = FluencyGuard(pack(language))
    requests, statements, refusals, _, _ = TEXTS[language]
    assert [text for text in requests if not guard.asking(text)] == []
    assert [text for text in statements if guard.asking(text)] == []
    assert [text for text in refusals if guard.asking(text)] == []


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_replies_without_an_answer_are_told_from_answers(language: str) -> None:
    phrases = PackPhrases.of(pack(f"{language}-XX"))
    _, _, _, nothing, answers = TEXTS[language]
    assert [text for text in nothing if not matches(phrases.non_answers, text)] == []
    assert [text for text in answers if matches(phrases.non_answers, text)] == []


def test_a_pack_can_replace_all_phrases() -> None:
    own = pack("zh").model_copy(update={"non_answers": ("^x$",)})
    assert PackPhrases.of(own).non_answers == ("^x$",)


@pytest.mark.parametrize(
    "text",
    [
        "您多大？",
        "كم عمرك؟",
        "Πόσο χρονών είστε;",
        "Քանի՞ տարեկան եք:",
        "ስንት አመትህ ነው፧",
        "How old❓",
        "您多大❔",
    ],
)
def test_every_script_has_its_question_mark(text: str) -> None:
    assert FluencyGuard(pack("xx")).asking(text)


@pytest.mark.parametrize(
    ("language", "requests", "statements"),
    [
        (
            "pt",
            ["quais remédios você toma", "quantas vezes por dia", "pra quem é"],
            ["Quando chegar, avise."],
        ),
        (
            "es",
            ["cuantos dias lleva asi", "cuales medicinas toma"],
            ["Cuando llegue, avise.", "Cuatro días."],
        ),
        ("fr", ["lesquels prenez-vous", "vous avez quel âge"], ["Je cherche les médicaments."]),
        ("de", ["wessen Rezept ist es", "hat er Fieber", "wofür ist es"], ["Er hat Fieber.", "Es ist da."]),
        (
            "id",
            ["obat apa saja", "umur berapa"],
            ["Tidak apa apa.", "Boleh apa saja.", "Ada obat untuk itu."],
        ),
        ("zh", ["是谁用药", "怀孕了没"], ["没有了。", "我用这个药。"]),
        (
            "ja",
            [
                "何種類飲みましたか",
                "何錠ですか",
                "ご年齢をお伺いいたします。",
                "アレルギーをご申告ください。",
                "薬あったら教えて",
            ],
            ["三錠です。", "では明日お伺いします。", "少々お待ちください。", "説明書をお読みください。"],
        ),
        ("ko", ["며칠 됐어요", "누가 쓰세요"], ["왜냐하면 약이 없습니다.", "어느 정도 나았습니다."]),
        ("hi", ["किसके लिए", "कितनों को"], ["किसी को नहीं।"]),
        ("bn", ["কাদের জন্য", "কয়বার খান"], ["তিন বার খাবেন।"]),
        ("ur", ["کونسے دن", "کن دواؤں سے"], ["یہ دوا لیں۔"]),
        (
            "ar",
            ["ما الأدوية", "كام سنة", "فين الوجع", "من أيمتى هيك", "خبرني شو القصة"],
            ["من الأفضل أن ترتاح.", "ما عندي مانع."],
        ),
        ("ru", ["чей рецепт", "скольким людям"], ["Чем могу, тем помогу, конечно."]),
    ],
)
def test_plural_case_and_spoken_forms_of_interrogatives_are_known(
    language: str, requests: list[str], statements: list[str]
) -> None:
    guard = FluencyGuard(pack(language))
    assert [text for text in requests if not guard.asking(text)] == []
    assert [text for text in statements if guard.asking(text)] == []
