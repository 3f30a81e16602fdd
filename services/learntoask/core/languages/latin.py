"""Phrases of languages in Latin script: Spanish, Portuguese, French, German, Indonesian."""

from __future__ import annotations

from learntoask.core.languages.phrases import Phrases

_SHORT = r"\b\D{0,30}$"  # what follows in a reply that says nothing else
_WHOLE = (
    r"(?![^,]*,)"  # no clause follows, so the word does not begin a subordinate clause ("when you arrive, …")
)

_SPANISH = Phrases(
    questions=(
        "¿",
        # The accents tell questions ("cuándo") from clauses ("cuando").
        r"(?:^|[,;:]\s*|\b(?:y|pero|entonces|favor)\s+)(?:(?:a|de|desde|en|por|para|con|hasta|hace)\s+)?"
        r"(?:qué|quién(?:es)?|cuál(?:es)?|cuándo|cuánt[oa]s?|dónde|adónde|cómo)\b",
        r"^(?:(?:y|pero|entonces|desde|hace|de|a|con|en|por|para)\s+)*(?:cuales|cuant[oa]s|quienes"
        r"|que (?:edad|dia|hora|tipo|medicinas?|medicamentos?|sintomas?))\b" + _WHOLE,
        r"\b(?:dígame|dime|díganos|dinos|indíquen?(?:me|os)|cuénteme|cuéntame|descríba(?:me|nos|lo)?|descríbeme"
        r"|especifique|confírme(?:me|nos)?|confirme|indique|facilíte(?:me|nos))\b",
        r"\b(?:me|nos) (?:puede[ns]?|puedes|podría[ns]?) (?:decir|indicar|dar|confirmar|describir)\b",
        r"\bnecesit(?:o|amos|aría) (?:saber|conocer|su|tu|sus|tus)\b",
    ),
    refusals=(
        r"\blo siento\b",
        r"\bcomo (?:una? )?(?:ia\b|inteligencia artificial|modelo de lenguaje)",
        r"\bno (?:puedo|podemos) (?:acceder|ayudar|proporcionar|reservar|hacer)",
    ),
    non_answers=(
        r"^\W*(?:(?:lo siento|perdón|pues|uf)\W+)*(?:yo )?no (?:lo |me )?(?:sé|se|recuerdo|acuerdo|estoy segur[oa])"
        + _SHORT,
        r"^\W*(?:ni idea|un (?:momento|segundo)|espere?|déjeme ver|a ver)" + _SHORT,
    ),
    small_talk=(
        r"en qué (?:puedo|podemos|le|te)\b.*ayudar",
        r"\balgo más\b",
        r"\b(?:correcto|verdad|de acuerdo)\W*$",
    ),
)

_PORTUGUESE = Phrases(
    questions=(
        r"(?:^|[,;:]\s*|\b(?:e|mas|então|favor)\s+)(?:(?:a|de|desde|em|por|para|com|até|há)\s+)?"
        r"(?:qual|quais|quant[oa]s?|o que|que (?:idade|dia|horas?|tipos?|remédios?|medicamentos?|sintomas?))\b"
        + _WHOLE,
        r"^(?:(?:e|mas|então|desde|de|para|pra|por|com|há)\s+)*(?:quando|a?onde|quem|como|por ?que|há quanto|cadê)\b"
        + _WHOLE,
        r"\b(?:diga|informe|conte|descreva|especifique|confirme)(?:-(?:me|nos))?\s+(?:o|a|os|as|se|qual|quando|onde|seu|sua|me)\b",
        r"\b(?:pode|poderia|podia) (?:me |nos )?(?:dizer|informar|confirmar|descrever)\b",
        r"\bprecis(?:o|amos) (?:saber|d[oa]s? (?:seu|sua)s?)\b",
    ),
    refusals=(
        r"\b(?:sinto muito|lamento)\b",
        r"\bcomo (?:uma? )?(?:ia\b|inteligência artificial|modelo de linguagem)",
        r"\bnão (?:posso|consigo|podemos) (?:acessar|aceder|ajudar|fornecer|reservar)",
    ),
    non_answers=(
        r"^\W*(?:(?:desculpe?|olha|bem)\W+)*(?:eu )?não (?:sei|me lembro|lembro|recordo|tenho certeza)"
        + _SHORT,
        r"^\W*(?:nem ideia|um (?:momento|segundo|instante)|espera|deixe?-me ver)" + _SHORT,
    ),
    small_talk=(
        r"\b(?:posso|podemos) (?:te |lhe )?ajudar\b",
        r"\balgo mais\b|mais alguma coisa\b",
        r"\b(?:correto|certo|está bem)\W*$",
    ),
)

_FRENCH = Phrases(
    questions=(
        r"(?:^|[,;:]\s*|\bet\s+)(?:(?:à|de|depuis|en|pour|avec|dans|jusqu'à)\s+)?"
        r"(?:quel(?:le)?s?|(?:au|du|l[ea]s?|aux|des)quel(?:le)?s?|combien|est-ce qu|qu'est-ce)",
        r"^(?:\S+\s+){0,4}(?:quel âge|depuis quand|combien)\b",
        r"^(?:(?:et|mais|alors|donc|depuis|pour|à|avec|de)\s+)*(?:quand|où|comment|pourquoi|qui|que|quoi)\b"
        + _WHOLE,
        r"\b(?:avez|êtes|prenez|pouvez|souffrez|voulez|souhaitez|désirez|pourriez|auriez|seriez|allez)-vous\b",
        r"\b(?:as|es|peux|prends|veux)-tu\b|-t-(?:il|elle|on)\b|\b(?:est|sont|ont)-(?:il|elle|ce)s?\b",
        r"\b(?:dites|indiquez|donnez|précisez|décrivez|confirmez|communiquez)(?:-(?:moi|nous)|\s+(?:le|la|les|votre|vos|si))\b",
        r"\bmerci de (?:me |nous )?(?:préciser|indiquer|dire|donner|confirmer|communiquer)",
        r"\bj'(?:ai besoin (?:de (?:connaître|savoir|votre|vos|la|l')|du)|aimerais savoir)",
    ),
    refusals=(
        r"\bdésolée?s?\b",
        r"\ben tant qu'(?:ia\b|intelligence|assistant|modèle)",
        r"\bje ne (?:peux|suis) pas (?:accéder|vous aider|réserver|fournir|en mesure)",
    ),
    non_answers=(
        r"^\W*(?:(?:désolée?|euh|ben|bah)\W+)*(?:je )?(?:ne )?(?:le )?"
        r"(?:sais (?:pas|plus)|me (?:souviens|rappelle) (?:pas|plus))" + _SHORT,
        r"^\W*(?:aucune idée|(?:un )?(?:instant|moment|seconde|minute)|attendez|pas sûre?)" + _SHORT,
    ),
    small_talk=(
        r"\b(?:puis-je|peux|pouvons-nous|peut-on) (?:vous |t')?aider\b",
        r"\bautre chose\b",
        r"\b(?:exact|correct|c'est bien ça|d'accord)\W*$",
    ),
)

_GERMAN = Phrases(
    questions=(
        r"(?:^|[,;:]\s*|\bund\s+)(?:(?:seit|ab|bis|von|an|in|für|mit|um)\s+)?"
        r"(?:welche[rsnm]?|wie (?:alt|lange|viele?|oft|hoch|heißen|stark)|wieviele?|seit wann)\b",
        r"^(?:(?:und|oder|aber|seit|ab|bis|von|für|mit|also)\s+)*(?:was|wann|wo|wohin|woher|wofür|womit|wogegen|wodurch|wer|wen|wem|wessen|wie|warum|weshalb|wieso|woran)\b"
        + _WHOLE,
        r"^(?:(?:und|oder|also|gut|ja|ok|okay)\W+)*(?:haben|nehmen|sind|können|leiden|möchten|hatten|waren|wollen)\s+sie\b",
        r"^(?:(?:und|oder|also|gut|ja|ok|okay)\W+)*(?:hast|nimmst|bist|kannst|leidest|möchtest|willst)\s+du\b",
        r"^(?:(?:und|oder|also|gut|ja|ok|okay)\W+)*(?:hat|nimmt|ist|kann|leidet|möchte|hatte|war|braucht)\s+(?:er|sie|es)\b",
        r"^(?:(?:und|oder)\s+)?(?:gibt es|besteh(?:t|en))\b",
        r"\b(?:sagen|nennen|geben|beschreiben|teilen|verraten|bestätigen)\s+sie\s+(?:mir|uns|bitte|ihre?n?|das|die|den)\b",
        r"\bbitte\s+(?:\S+\s+){0,4}(?:nennen|angeben|auswählen|bestätigen|mitteilen|beschreiben)\b",
        r"\b(?:ich|wir) (?:brauche|benötige)n? (?:noch |bitte )*(?:ihre?n?|das|die|den)\b",
    ),
    refusals=(
        r"\btut mir leid\b",
        r"\bals (?:ki\b|künstliche intelligenz|sprachmodell)",
        r"\bich (?:kann|darf) (?:ihnen |dir |leider |das |dabei )*(?:nicht|keine?n?)\b",
    ),
    non_answers=(
        r"^\W*(?:(?:sorry|hm+|tja|ehrlich)\W+)*(?:das )?weiß (?:ich )?(?:es |das |leider |gerade )*nicht"
        + _SHORT,
        r"^\W*(?:ich )?weiß (?:es |das |leider )*nicht" + _SHORT,
        r"^\W*(?:keine ahnung|(?:einen )?moment|sekunde|(?:ich )?(?:bin )?(?:mir )?nicht sicher)" + _SHORT,
    ),
    small_talk=(
        r"\b(?:kann|können|darf) (?:ich|wir)\b.*\b(?:helfen|tun)\b",
        r"\b(?:sonst noch|noch etwas|noch was)\b",
        r"\b(?:richtig|korrekt|in ordnung|stimmt das)\W*$",
    ),
)

_INDONESIAN = Phrases(
    questions=(
        r"^(?:(?:dan|lalu|baik|ok|oke|maaf|kak|pak|bu)\W+)*(?:(?:sejak|dari|untuk|di|ke|sudah)\s+)?"
        r"(?:apa(?:kah)?|berapa|kapan|di ?mana|ke ?mana|siapa|bagaimana|mengapa|kenapa|yang mana)\b",
        r"\b(?:apakah|berapa (?:lama|umur|usia|kali)|(?:umur|usia|berat|tinggi)(?:nya)? berapa)\b",
        r"^(?!.*\b(?:tidak|boleh|bisa)\b)(?:\S+\s+){1,3}apa(?: saja)?\W*$|^ada\s+(?:\S+\s+){0,2}alergi\b",
        r"\b(?:tolong|mohon|harap|silakan)\s+(?:beri\s?tahu|sebutkan|jelaskan|isi|pilih|konfirmasi|tuliskan|ceritakan)",
    ),
    refusals=(
        r"\bsebagai (?:ai\b|asisten|model bahasa)",
        r"\btidak (?:bisa|dapat) (?:membantu|mengakses|memberikan|memesan)",
        r"\b(?:mohon )?maaf, (?:saya|kami)\b",
    ),
    non_answers=(
        r"^\W*(?:(?:maaf|wah|hm+)\W+)*(?:saya |aku )?(?:tidak|nggak|gak|ga|kurang) (?:tahu|tau|ingat|yakin)"
        + _SHORT,
        r"^\W*(?:sebentar|tunggu)" + _SHORT,
    ),
    small_talk=(
        r"\b(?:ada )?yang (?:bisa|dapat) (?:kami|saya) bantu\b",
        r"\bada (?:lagi|yang lain)\b",
    ),
)

PHRASES = {
    "es": _SPANISH,
    "pt": _PORTUGUESE,
    "fr": _FRENCH,
    "de": _GERMAN,
    "id": _INDONESIAN,
}
