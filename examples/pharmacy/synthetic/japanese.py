"""The wording of the synthetic pharmacy logs in Japanese. `wording` explains the names.

It is no translation: its experts have an order, habits and levels of politeness of their own, and many of their
requests have no question mark.
"""

from __future__ import annotations

from synthetic.wording import OPTIONAL, REQUIRED, Expert

__all__ = ("OPTIONAL", "REQUIRED")

# A counter in Tokyo: polite, and about half of the requests are statements with a full stop.
SATO = Expert(
    name="sato",
    order=(
        "symptom",
        "other_symptoms",
        "duration",
        "allergies",
        "age",
        "pregnancy",
        "other_medicines",
        "conditions",
        "tried",
    ),
    questions={
        "symptom": (
            "本日はどのようなご症状でいらっしゃいますか。",
            "お困りの症状をお聞かせください。",
            "どこがどのようにおつらいか、お教えいただけますと幸いです。",
        ),
        "duration": (
            "いつ頃からでいらっしゃいますか。",
            "症状が出始めた日をお伺いいたします。",
            "どのくらい前からのご症状か、お聞かせ願えますか。",
        ),
        "age": (
            "恐れ入りますが、お年を伺ってもよろしいですか。",
            "お使いになる方のご年齢をお願いいたします。",
            "おいくつでいらっしゃいますか。",
        ),
        "other_symptoms": (
            "ほかに気になるところはございますか。",
            "お熱や咳がおありでしたらお知らせください。",
            "そのほかのお加減はいかがでしょうか。",
        ),
        "other_medicines": (
            "ただいま服用中のお薬をお知らせください。",
            "お薬手帳に載っているものがございましたら、お聞かせください。",
            "ほかにお飲みのお薬はございますか。",
        ),
        "allergies": (
            "お薬でアレルギーが出たことはございますか。",
            "体に合わないお薬や食べ物をお教えください。",
            "アレルギーの有無をお伺いいたします。",
        ),
        "conditions": (
            "ご持病がございましたらお聞かせください。",
            "治療中のご病気はございますか。",
        ),
        "pregnancy": (
            "ご妊娠中、または授乳中でいらっしゃいますか。",
            "妊娠の可能性についてお伺いいたします。",
        ),
        "tried": (
            "これまでに試されたことをお聞かせください。",
            "すでに何かお使いになりましたでしょうか。",
        ),
    },
    acks=(
        "かしこまりました。",
        "さようでございますか。",
        "お大事になさってくださいね。",
        "承知いたしました。",
    ),
    thorough=0.4,
    double=0.05,
    burst=0.05,
    typo=0.01,
)

# Types on a telephone: half-sentences that end in a particle, seldom a mark, several messages in a row.
TANAKA = Expert(
    name="tanaka",
    order=(
        "age",
        "symptom",
        "tried",
        "duration",
        "other_medicines",
        "other_symptoms",
        "allergies",
        "pregnancy",
        "conditions",
    ),
    questions={
        "symptom": ("今日はどうしたんですか", "どのへんがつらい感じ？", "症状おしえて"),
        "duration": ("いつから？", "何日くらい続いてる感じですか", "けっこう長いです？"),
        "age": ("年いくつ？", "何歳の人が飲む？", "歳だけ教えてもらっていい？"),
        "other_symptoms": ("熱とかは？", "ほかにしんどいとこある？", "鼻とか咳は大丈夫そう？"),
        "other_medicines": (
            "今なんか薬のんでる？",
            "ふだん飲んでる薬あったら教えて",
            "病院の薬ってあります？",
        ),
        "allergies": ("アレルギーある？", "薬でブツブツ出たことあります？", "ダメな食べ物とかあれば教えて"),
        "conditions": ("持病とかは？", "どこか病院かかってます？", "血圧高いとか言われてない？"),
        "pregnancy": ("妊娠の可能性は？", "赤ちゃんに母乳あげてたりします？"),
        "tried": ("もう何か使ってみた？", "市販のは試しました？", "今までに飲んだやつある？"),
    },
    acks=("ふむふむ", "りょうかいです", "なるほど〜", "はーい"),
    thorough=0.2,
    double=0.45,
    burst=0.5,
    typo=0.06,
)

# Osaka: dialect, and what is typed in kana or with half-width letters now and then.
YAMAMOTO = Expert(
    name="yamamoto",
    order=(
        "symptom",
        "duration",
        "other_medicines",
        "conditions",
        "age",
        "tried",
        "allergies",
        "other_symptoms",
        "pregnancy",
    ),
    questions={
        "symptom": ("どないしはりました？", "どこが痛いんやろか", "どんな具合か言うてみて"),
        "duration": ("いつからそないなってますのん？", "もうなんにちになる？", "だいぶ前からやろか"),
        "age": ("おいくつですのん？", "なんさいの方が飲まはるんですか", "ねんれい教えてくれはる？"),
        "other_symptoms": ("ほかにしんどいとこあらへん？", "熱はあらへん？", "せきも出ますのん？"),
        "other_medicines": (
            "ほかに薬飲んではる？",
            "お医者さんからもろてる薬ありますか",
            "毎日飲んではる薬は？",
        ),
        "allergies": ("アレルギーはあらへん？", "ｱﾚﾙｷﾞｰあったら言うてな", "体に合わんもんありますか"),
        "conditions": ("なんか持病ありますのん？", "お医者さん通うてはる？"),
        "pregnancy": ("おなかに赤ちゃんいてはる？", "おちち飲ませてはりますか"),
        "tried": ("なんか試さはった？", "もう薬つけはりました？"),
    },
    acks=("そうですかぁ。", "はいはい。", "そらつらいなぁ。", "おおきに。"),
    thorough=0.3,
    double=0.2,
    burst=0.25,
    typo=0.04,
    redundant=0.08,
    late=0.15,
)

# A mail-order desk: long formal sentences that name the reason first.
SUZUKI = Expert(
    name="suzuki",
    order=(
        "conditions",
        "other_medicines",
        "symptom",
        "age",
        "duration",
        "allergies",
        "pregnancy",
        "tried",
        "other_symptoms",
    ),
    questions={
        "symptom": (
            "お薬を選ばせていただくため、ご症状を具体的にご記入ください。",
            "今回ご相談になりたいご症状をお知らせいただけますでしょうか。",
        ),
        "duration": (
            "そのご症状は、何日前から続いておられますでしょうか。",
            "発症の時期について、おおよそで結構ですのでお知らせください。",
        ),
        "age": (
            "用量が変わりますので、服用される方の年齢をお知らせください。",
            "差し支えなければ、満年齢をお聞かせいただけますでしょうか。",
        ),
        "other_symptoms": (
            "あわせて発熱、吐き気などの症状がございましたらご記入ください。",
            "ご相談の症状以外に、体調の変化はございますでしょうか。",
        ),
        "other_medicines": (
            "飲み合わせを確認いたしますので、併用中の医薬品をすべてお知らせください。",
            "現在、継続して服用されている医薬品やサプリメントはございますでしょうか。",
        ),
        "allergies": (
            "安全のため、アレルギー歴をご申告ください。",
            "過去に医薬品や食品で、発疹などの過敏症状が出たことはございますでしょうか。",
        ),
        "conditions": (
            "念のため、既往歴をお知らせください。",
            "現在治療中、または通院中のご病気はございますでしょうか。",
        ),
        "pregnancy": (
            "妊娠中または授乳中の方にはお渡しできない品がございます。該当されますでしょうか。",
            "妊娠、授乳の有無をお知らせください。",
        ),
        "tried": (
            "今回の症状に対して、すでにお使いになった薬がございましたらご記入ください。",
            "これまでに行われた処置はございますでしょうか。",
        ),
    },
    acks=("ご回答ありがとうございます。", "確認いたしました。"),
    thorough=0.6,
    double=0.1,
    burst=0.0,
    typo=0.0,
)

EXPERTS = (SATO, TANAKA, YAMAMOTO, SUZUKI)
EXPERT_WEIGHTS = (3, 4, 3, 2)


def both(first: str, second: str) -> str:
    """Two questions in one message."""
    return f"{first} それと、{second}"


COMPLAINTS = (
    "頭痛",
    "のどの痛み",
    "鼻水",
    "空咳",
    "胸やけ",
    "目のかゆみ",
    "腕の湿疹",
    "虫刺され",
    "肩こり",
    "腰痛",
    "不眠",
    "鼻づまり",
    "口内炎",
    "日焼け",
    "手荒れ",
    "胃もたれ",
    "筋肉痛",
)
OPENERS_FULL = (
    "すみません、{v}なんですが、いい薬ありますか？",
    "こんにちは。{v}に効くものがほしいです",
    "{v}で困っています",
    "{v}がひどくて…",
)
OPENERS_OTHER = ("{noun}が{v}なんですが、何がいいですか？", "{noun}の{v}の薬を探しています")
OPENERS_VAGUE = ("こんにちは", "すみません、誰かいますか", "相談したいことがあるのですが", "薬がほしいです")
RELATIVES = (
    ("娘", "she", 2, 16),
    ("息子", "he", 2, 16),
    ("母", "she", 50, 84),
    ("夫", "he", 25, 70),
    ("妻", "she", 25, 70),
    ("父", "he", 50, 84),
)
WIFE = "妻"
SYMPTOM_REPLIES = ("{v}です", "{v}", "ええと、{v}がつらいです", "主に{v}です")
DURATIONS = ("二日前", "三日前", "一週間ほど前", "十日前", "二週間前", "数時間前", "一か月前")
DURATION_REPLIES = ("{v}からです", "{v}", "{v}くらいからです", "たぶん{v}です")
SINCE = ("昨日", "日曜日", "先週の木曜", "今朝", "週末")
SINCE_REPLIES = ("{v}からです", "{v}から", "{v}くらいです")
AGE_REPLIES = ("{v}歳です", "{v}", "{v}歳", "今年で{v}です")
PREGNANCIES = ("妊娠五か月", "授乳中", "妊娠三か月")
VALUES = {
    "other_symptoms": (("微熱", "鼻水", "軽い吐き気", "だるさ", "くしゃみ"), 0.5),
    "other_medicines": (("血圧の薬", "ピル", "甲状腺の薬", "喘息の吸入薬", "ビタミン剤", "鉄剤"), 0.45),
    "allergies": (("ペニシリン", "花粉", "そば", "乳製品", "金属", "猫"), 0.4),
    "conditions": (("高血圧", "喘息", "糖尿病", "甲状腺の病気", "片頭痛"), 0.35),
    "tried": (("生姜湯", "お風呂", "冷湿布", "休養", "家にあった薬"), 0.6),
}
POSITIVE = {
    "pregnancy": ("はい、{v}です", "{v}です"),
    "other_symptoms": ("{v}があります", "はい、{v}も", "{v}が少し"),
    "other_medicines": ("{v}を飲んでいます", "はい、{v}を毎日", "{v}だけです"),
    "allergies": ("{v}です", "はい、{v}がだめです", "{v}に少し"),
    "conditions": ("{v}です", "はい、{v}があります", "{v}で通院中です"),
    "tried": ("{v}だけです", "{v}を試しましたがだめでした", "はい、{v}"),
}
NEGATIVE = {
    "other_symptoms": ("ないです", "特にありません", "いいえ"),
    "other_medicines": ("飲んでいません", "ないです", "いいえ、何も"),
    "allergies": ("ありません", "特にないと思います", "ないです"),
    "conditions": ("ありません", "健康です", "いいえ"),
    "pregnancy": ("いいえ", "ないです", "していません"),
    "tried": ("まだ何も", "いいえ", "何もしていません"),
}
NOT_APPLICABLE = ("男です", "関係ないです")
VOLUNTEERED = {
    "duration": ("{v}からなんです",),
    "since": ("{v}からです",),
    "age": ("ちなみに{v}歳です",),
    "other_symptoms": ("あと{v}もあります",),
    "other_medicines": ("そういえば{v}を飲んでいます",),
    "allergies": ("{v}のアレルギーがあります",),
    "conditions": ("{v}もあるんですが",),
    "tried": ("{v}は試しました",),
    "pregnancy": ("実は{v}です",),
}
UNKNOWN = ("わかりません", "ちょっとわからないです", "覚えていません", "さあ…")
OFF_TOPIC = (
    ("土曜日も配達していますか？", "はい、正午までです。"),
    ("送料はいくらですか", "二千円以上で無料です。"),
    ("すみません、ちょっと待って", "どうぞごゆっくり。"),
)
GREETINGS = ("いらっしゃいませ、ご用件を承ります。", "こんにちは、薬局です。")
FILLERS = (
    ("お待たせして申し訳ありません。", "いえいえ"),
    ("新しいアプリはもうお使いですか？", "いいえ"),
    ("少々お待ちください、メモをとります。", "はい"),
)
ACTIONS = (
    "ありがとうございます。合うお薬をお探しします。",
    "以上です。お薬を確認いたします。",
    "では、探してみますね。",
)
RESULTS = ("カートに入れましたので、説明書をお読みください。", "よくならない場合は受診してください。")
THANKS = ("ありがとう", "助かりました", "ありがとうございました")
WELCOME = ("お大事に。", "お大事になさってください。")
HANDOFFS = (
    "薬剤師からお電話いたします。",
    "処方の担当におつなぎします。",
    "これはお医者さんにご相談ください。",
)
LEAVING = ("また後で", "やっぱり店に行きます", "ちょっと考えます")
STILL_THERE = "まだいらっしゃいますか？"
TEST_CHATS = ("動作テスト、無視してください", "テスト、社内用、無視してください")
