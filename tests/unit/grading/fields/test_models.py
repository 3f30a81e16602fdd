"""The grader's models: as arrays they equal scikit-learn's, and what they learn about words carries over."""

from __future__ import annotations

import numpy as np
import pytest
from learntoask.core.pack import Pack
from learntoask.grading.encoders.caching import CachingEncoder
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.grading.examples import FOLDS, Example, fold_of
from learntoask.grading.fields.candidates import PackFields
from learntoask.grading.fields.classifiers import classifier_of
from learntoask.grading.fields.features import margins
from learntoask.grading.fields.lexical import crosses
from learntoask.grading.fields.neighbours import Neighbours
from learntoask.grading.fields.sklearn import Rows, fit_lexical, fit_linear, fit_trees
from learntoask.grading.fields.word_pairs import WordPairs
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def rows(count: int = 400, columns: int = 6) -> Rows:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, columns)) * np.arange(1, columns + 1)
    truth = features[:, 0] + 0.3 * features[:, 1] * (features[:, 2] > 0) + rng.normal(size=count) > 0
    return Rows(features=features, truth=truth, folds=rng.integers(FOLDS, size=count))


def test_linear_is_logistic_regression_of_the_other_folds():
    data = rows()
    model = fit_linear(data)
    others = data.folds != 2
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    reference.fit(data.features[others], data.truth[others])
    expected = reference.predict_proba(data.features)[:, 1]
    assert model.probabilities(data.features, fold=2) == pytest.approx(expected, abs=1e-6)


def test_trees_as_arrays_are_the_trees_that_were_grown(monkeypatch):
    data, grown = rows(), []
    fit = GradientBoostingClassifier.fit
    monkeypatch.setattr(
        GradientBoostingClassifier, "fit", lambda self, x, y: grown.append(self) or fit(self, x, y)
    )
    model = fit_trees(data)
    for fold in range(FOLDS):
        expected = grown[fold].predict_proba(data.features)[:, 1]
        assert model.probabilities(data.features, fold=fold) == pytest.approx(expected, abs=1e-9)
    again = classifier_of("trees", model.arrays())
    assert np.array_equal(
        again.probabilities(data.features, fold=0), model.probabilities(data.features, fold=0)
    )


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_rows_that_are_all_alike_give_a_confident_constant(fit):
    data = rows()
    alike = Rows(features=data.features, truth=np.ones_like(data.truth), folds=data.folds)
    assert fit(alike).probabilities(data.features[:3], fold=0) == pytest.approx([0.982] * 3, abs=1e-3)


def test_margins_compare_with_the_best_other_column():
    assert margins(np.array([[0.2, 0.9, 0.5]])).tolist() == [pytest.approx([-0.7, 0.4, -0.4])]
    assert margins(np.array([[0.3], [-1.0]])).tolist() == [[0.3], [-1.0]]


PACK = Pack.model_validate(
    {
        "name": "two",
        "tasks": [
            {"name": "bus", "fields": [{"name": "departure_date"}, {"name": "departure_city"}]},
            {"name": "hotel", "fields": [{"name": "arrival_date"}, {"name": "arrival_city"}]},
        ],
    }
)
QUESTIONS = {
    "departure_date": ["On which day do you travel?", "What day is it?", "Which day suits you?"],
    "departure_city": ["Where do you start?", "From where do you travel?", "Where is it?"],
}
EXAMPLES = [
    Example(session_id=f"s{number}-{copy}", task="bus", text=text, asked=frozenset({field}))
    for field, texts in QUESTIONS.items()
    for number, text in enumerate(texts)
    for copy in range(4)
]


def test_words_carry_over_to_a_field_of_another_task_with_a_word_in_common():
    schema = PackFields(PACK, HashingEncoder())
    model = fit_lexical(
        (cross for one in EXAMPLES for cross in crosses(one.text, schema.candidates["bus"])),
        np.array([name in one.asked for one in EXAMPLES for name in QUESTIONS]),
        np.repeat([fold_of(one.session_id) for one in EXAMPLES], 2),
    )
    date, city = model.logits("Which day do you come?", schema.candidates["hotel"], fold=0)
    assert date > city
    date, city = model.logits("Where do you come?", schema.candidates["hotel"], fold=0)
    assert city > date


def test_neighbours_vote_without_the_session_and_by_their_own_group():
    encoder = CachingEncoder(HashingEncoder())
    schema = PackFields(PACK, encoder)
    own = Example(
        session_id="own", task="hotel", text="Where to, my friend?", asked=frozenset({"arrival_date"})
    )
    neighbours = Neighbours(schema, [*EXAMPLES, own], encoder.encode([one.text for one in [*EXAMPLES, own]]))
    text = encoder.encode(["Where to, my friend?"])
    _, mine = neighbours.votes(text, "hotel", without="somebody", single=False)
    assert mine[0].tolist() == [1.0, 0.0]
    everyone, mine = neighbours.votes(text, "hotel", without="own", single=False)
    assert mine[0].tolist() == [0.0, 0.0]  # no other question of that group
    assert everyone[0, 1] > everyone[0, 0]  # the other group's "where" questions
    assert neighbours.knows("own")
    assert not neighbours.knows("somebody")
    assert neighbours.nearest(text[0], "hotel", without="somebody") == pytest.approx(1.0, abs=1e-6)
    assert neighbours.nearest(text[0], "hotel", without="own") == -1.0  # no other question of that group
    assert 0 < neighbours.nearest(text[0], without="own") < 1


def test_word_pairs_are_new_where_no_other_session_has_them():
    def example(session: str, text: str) -> Example:
        return Example(session_id=session, task="bus", text=text, asked=frozenset({"departure_date"}))

    pairs = WordPairs(
        [example("one", "Where do you travel?"), example("one", "Where to?"), example("two", "Where to?")]
    )
    assert pairs.new_share("where, do YOU travel", without="three") == 0.0
    assert pairs.new_share("Where do you travel?", without="one") == 0.8  # session two has "^ where"
    assert pairs.new_share("Where to?", without="one") == 0.0
    assert pairs.new_share("you do travel where", without="three") == 1.0  # the same words, garbled
    assert pairs.new_share("?", without="three") == 1.0


def test_hashing_knows_words_and_their_parts():
    near, far, empty = HashingEncoder().encode(["departure date", "date of departing", "..."])
    assert near @ far > 0.4
    assert near @ near == pytest.approx(1.0, abs=1e-6)
    assert not empty.any()
