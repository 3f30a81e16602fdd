"""What an untrained model says instead of asking: apologies, refusals, confirmations, lists and promises.

The texts are templates with names of the pack's fields, because they are hard to refuse if they mention what a question
would ask for. The stage grader measures with them whether a grader refuses non-questions; no grader is fitted on them.
Every language also has what the experts of the logs say on acting, with the fields' names behind it. Languages without
templates have lists and repetitions of the names besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learntoask.core.languages.pack_phrases import language_of
from learntoask.core.pack import Pack

_ENGLISH = (
    "I'm sorry, but as an AI language model I don't have the ability to help with the {a}.",
    "I'm sorry, I cannot access information about your {a} or {b}.",
    "I am unable to do that. You can find the {a} on the website, and the {b} as well.",
    "As an AI, I do not have access to real-time data about the {a}.",
    "I apologize for the confusion. The {a} has been updated.",
    "Sure, I can help you with that! I will look up the {a} and the {b} now.",
    "Great! I have noted the {a}.",
    "Your {a} is confirmed, and your {b} has been saved.",
    "Thank you for the {a}. Everything is set.",
    "Here is what I found: the {a}, the {b} and some more options.",
    "The {a} and the {b} depend on availability.",
    "To find the right {a}, you can use a search engine or contact a specialist.",
    "1. {a}\n2. {b}\n3. Done",
    "I have found several options that match the {a}. They are all good.",
    "Of course! Let me check the {a} for you.",
    "{a} {a} {a} {a} {a} {a} {a}",
    "Please note that the {a} may change without notice.",
    "You're welcome! Have a great day, and enjoy.",
    "I would recommend comparing the {a} and the {b} before deciding.",
    "It seems that the {a} is not available at the moment.",
)

_IN_ANY_LANGUAGE = (
    "{a} {a} {a} {a} {a} {a} {a}",
    "1. {a}\n2. {b}\n3. {a}",
    "{a}, {b}.",
    "{a}: {b}.",
    "- {a}\n- {b}",
)
# An apology, a refusal, a note, a confirmation and a promise in each.
_TRANSLATED = {
    "zh": (
        "很抱歉，作为人工智能，我无法为您提供{a}。",
        "我不能访问您的{a}和{b}。",
        "{a}已经更新。",
        "好的，我已记录您的{a}，谢谢您的配合。",
        "我马上帮您查一下{a}和{b}。",
    ),
    "ja": (
        "申し訳ありません、AIとして{a}をお調べすることはできません。",
        "{a}と{b}にはアクセスできません。",
        "{a}が更新されました。",
        "{a}を承りました。ありがとうございます。",
        "これから{a}と{b}を確認いたします。",
    ),
    "ko": (
        "죄송합니다. AI로서 {a} 정보를 제공할 수 없습니다.",
        "{a}, {b}에 접근할 수 없습니다.",
        "{a} 정보가 변경되었습니다.",
        "{a} 확인했습니다. 감사합니다.",
        "지금 {a} 정보를 찾아 드리겠습니다.",
    ),
    "th": (
        "ขออภัย ในฐานะ AI ฉันไม่สามารถให้ข้อมูล {a} ได้",
        "ไม่สามารถเข้าถึง {a} และ {b}",
        "{a} ได้รับการแก้ไขแล้ว",
        "รับทราบ {a} ขอบคุณค่ะ",
        "จะตรวจสอบ {a} และ {b} ให้นะคะ",
    ),
    "hi": (
        "क्षमा करें, एआई के रूप में मैं {a} नहीं दे सकता।",
        "मैं {a} और {b} तक नहीं पहुंच सकता।",
        "{a} बदल दिया गया है।",
        "ठीक है, {a} लिख लिया है। धन्यवाद।",
        "मैं अभी {a} और {b} देखता हूं।",
    ),
    "bn": (
        "দুঃখিত, এআই হিসেবে আমি {a} দিতে পারছি না।",
        "আমি {a} এবং {b} দেখতে পারছি না।",
        "{a} হালনাগাদ করা হয়েছে।",
        "ঠিক আছে, {a} লিখে নিয়েছি। ধন্যবাদ।",
        "আমি এখনই {a} এবং {b} দেখছি।",
    ),
    "ur": (
        "معذرت، میں {a} فراہم نہیں کر سکتا۔",
        "میں {a} اور {b} تک نہیں پہنچ سکتا۔",
        "{a} تبدیل کر دیا گیا ہے۔",
        "ٹھیک ہے، {a} لکھ لیا ہے۔ شکریہ۔",
        "میں ابھی {a} اور {b} دیکھتا ہوں۔",
    ),
    "ar": (
        "عذرا، بصفتي نموذجا لغويا لا يمكنني تقديم {a}.",
        "لا أستطيع الوصول إلى {a} أو {b}.",
        "تم تحديث {a}.",
        "حسنا، سجلت {a}، شكرا لك.",
        "سأبحث لك الآن عن {a} و{b}.",
    ),
    "ru": (
        "К сожалению, я не могу предоставить вам данные: {a}.",
        "Я, как языковая модель, не имею доступа к данным: {a}, {b}.",
        "Поле «{a}» обновлено.",
        "Хорошо, записал: {a}. Спасибо.",
        "Сейчас проверю: {a}, {b}.",
    ),
    "es": (
        "Lo siento, como inteligencia artificial no puedo dar información sobre {a}.",
        "No puedo acceder a {a} ni a {b}.",
        "Se ha actualizado {a}.",
        "De acuerdo, he anotado {a}. Gracias.",
        "Ahora mismo busco {a} y {b}.",
    ),
    "pt": (
        "Lamento, como modelo de linguagem não posso fornecer {a}.",
        "Não consigo acessar {a} nem {b}.",
        "{a} foi atualizado.",
        "Certo, anotei {a}. Obrigado.",
        "Vou procurar agora {a} e {b}.",
    ),
    "fr": (
        "Je suis désolé, en tant qu'IA je ne peux pas vous aider pour {a}.",
        "Je n'ai pas accès à {a} ni à {b}.",
        "{a} : c'est modifié.",
        "Très bien, j'ai noté {a}. Merci.",
        "Je cherche tout de suite {a} et {b}.",
    ),
    "de": (
        "Es tut mir leid, als Sprachmodell kann ich zu {a} nichts sagen.",
        "Ich habe keinen Zugriff auf {a} oder {b}.",
        "{a} wurde geändert.",
        "Gut, {a} habe ich notiert. Vielen Dank.",
        "Ich suche jetzt {a} und {b} heraus.",
    ),
    "id": (
        "Maaf, sebagai AI saya tidak dapat memberikan {a}.",
        "Saya tidak bisa mengakses {a} atau {b}.",
        "{a} sudah diperbarui.",
        "Baik, {a} sudah saya catat. Terima kasih.",
        "Saya akan mencari {a} dan {b} sekarang.",
    ),
}


def non_questions(pack: Pack, told: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield (task, text) pairs: every template of the pack's language once per task, with two of its fields.

    `told` are sentences of the experts that ask nothing.
    """
    language = language_of(pack)
    templates = _ENGLISH if language == "en" else (*_IN_ANY_LANGUAGE, *_TRANSLATED.get(language, ()))
    escaped = (text.replace("{", "{{").replace("}", "}}") for text in told)
    templates += tuple(f"{text} {{a}}, {{b}}." for text in escaped)
    for task in pack.tasks:
        titles = [field.title for field in task.fields]
        for number, template in enumerate(templates):
            first, second = titles[number % len(titles)], titles[(number + 1) % len(titles)]
            yield task.name, template.format(a=first, b=second)
