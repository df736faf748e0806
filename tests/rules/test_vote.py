"""The vote: what the reads of one sighting say together."""

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rules.grammar import grammar
from rules.vote import MAX_TEXTS, MAX_TRACKS, Ballot, vote, winner

PLATES = grammar()
TEXTS = st.text("AB80OS512", min_size=3, max_size=8)
READS = st.lists(
    st.tuples(st.sampled_from([f"t{n}" for n in range(MAX_TRACKS)]), TEXTS, st.integers(0, 1000)),
    min_size=1,
    max_size=20,
)


def ballot(reads):
    """A ballot of (track, text, confidence of each character)."""
    made = Ballot()
    for track, text, confidence in reads:
        made.add(track, text, [confidence] * len(text))
    return made


def text_of(reads, scope="auto"):
    return vote(ballot(reads).weights(), PLATES, scope).text


@settings(max_examples=300, deadline=None)
@given(READS, st.randoms(use_true_random=False))
def test_the_order_of_the_reads_does_not_matter(reads, rng):
    """As long as the ballot holds all: no more tracks and texts than it tells apart."""
    shuffled = list(reads)
    rng.shuffle(shuffled)
    one, other = ballot(reads), ballot(shuffled)
    assert one.weights() == other.weights()
    assert vote(one.weights(), PLATES) == vote(other.weights(), PLATES)


@settings(max_examples=200, deadline=None)
@given(READS, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(reads, rng):
    weights = list(ballot(reads).weights().items())
    expected = vote(dict(weights), PLATES)
    rng.shuffle(weights)
    assert vote(dict(weights), PLATES) == expected


@settings(max_examples=200, deadline=None)
@given(READS)
def test_the_winner_is_the_votes_text(reads):
    weights = ballot(reads).weights()
    assert winner(weights, PLATES)[0] == vote(weights, PLATES).text


@settings(max_examples=300, deadline=None)
@given(READS, st.integers(0, 20))
def test_two_ballots_joined_say_what_one_would(reads, cut):
    joined = ballot(reads[:cut])
    joined.absorb(ballot(reads[cut:]))
    assert joined.weights() == ballot(reads).weights()


@settings(max_examples=100, deadline=None)
@given(READS)
def test_a_ballot_outlives_a_snapshot(reads):
    made = ballot(reads)
    kept = Ballot.of(made.state())
    made.add("t0", "LATER1", [500] * 6)
    assert kept.weights() == ballot(reads).weights()


PLATE_TEXTS = st.sampled_from(["ABC1234", "34A36837", "MAB1234", "KAX99", "BD51SMR", "7ABC123"])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@settings(max_examples=400, deadline=None)
@given(PLATE_TEXTS, st.integers(2, 12), st.integers(0, 2**32), st.integers(300, 1000))
def test_noise_below_half_of_the_evidence_never_changes_the_text(plate, right, seed, confidence):
    """Each wrong read differs somewhere at random; characters may be wrong, missing or too many."""
    rng = Random(seed)
    reads = [(f"t{n % 2}", plate, confidence) for n in range(right)]
    wrong = range(rng.randrange(right))
    reads += [(f"t{n % 2}", noisy(plate, rng), confidence) for n in wrong]
    weights = ballot(reads).weights()
    agreeing, total = weights[plate][-2], sum(found[-2] for found in weights.values())
    assume(agreeing * 2 > total)
    expected = PLATES.repair(plate, "auto")
    assert vote(weights, PLATES).text == expected


def noisy(plate, rng):
    """The plate with one to three random faults."""
    text = list(plate)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text))
        fault = rng.randrange(3)
        if fault == 0:
            text[place] = rng.choice(ALPHABET)
        elif fault == 1 and len(text) > 3:
            del text[place]
        else:
            text.insert(place, rng.choice(ALPHABET))
    return "".join(text)


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([("a", "KAX12", 900)], "KAX12"),
        ([("a", "KAX12", 900), ("b", "KAX12", 900), ("c", "KAX13", 990)], "KAX12"),
        # Ties go by text
        ([("a", "KAX12", 900), ("b", "KAX13", 900)], "KAX12"),
        ([("b", "KAX13", 900), ("a", "KAX12", 900)], "KAX12"),
        # A character that most reads have is put in, one that few have is left out
        ([("a", "KAX12", 900), ("b", "KAX123", 900), ("c", "KAX123", 900)], "KAX123"),
        ([("a", "KAX12", 900), ("b", "KAX12", 900), ("c", "KAX123", 900)], "KAX12"),
        # No read is right, and the vote is
        ([("a", "XAX123", 900), ("b", "KAY123", 900), ("c", "KAX128", 900)], "KAX123"),
    ],
)
def test_places_are_voted_one_by_one(reads, expected):
    assert text_of(reads) == expected


def test_frames_of_one_track_count_as_the_square_root_of_their_number():
    nine = [("a", "KAX12", 900)] * 9
    assert text_of([*nine, ("b", "KAX13", 900), ("c", "KAX13", 900)]) == "KAX12"  # 3 against 2
    assert text_of([*nine, *((t, "KAX13", 900) for t in "bcde")]) == "KAX13"  # 3 against 4


def test_the_grammar_decides_between_what_ocr_confuses_by_place():
    assert text_of([("a", "34A3683O", 900)], "VN") == "34A36830"
    assert text_of([("a", "A8C1234", 900)], "BR") == "ABC1234"
    # The heavier of two confusable characters that fit
    reads = [("a", "AB01234", 900), ("b", "ABD1234", 500)]
    assert text_of(reads, "BR") == "ABD1234"


def test_what_else_was_read_is_kept_with_its_share():
    reads = [("a", "KAX12", 900), ("b", "KAX12", 900), ("c", "KAX13", 900)]
    outcome = vote(ballot(reads).weights(), PLATES)
    third = pytest.approx(1 / 3, abs=0.001)
    assert outcome.alternatives == [{"text": "KAX13", "confidence": third}]
    assert [column[0]["character"] for column in outcome.positions] == list("KAX12")
    last = {place["character"]: place["weight"] for place in outcome.positions[4]}
    assert last == {"2": 1458, "3": 729}  # cubes of 0.9


def test_another_text_counts_as_little_as_its_sign_that_least_speaks_for():
    """Of one blurred read that says 8 for 7, but hardly, whatever the rest of it says."""
    votes = ballot([("a", "KAX1237", 900)])
    votes.add("b", "KAX1238", [900] * 6 + [200])
    (other,) = vote(votes.weights(), PLATES).alternatives
    assert other == {"text": "KAX1238", "confidence": pytest.approx(0.011, abs=0.001)}


@pytest.mark.parametrize("other", ["KAX12", "KAX12345", "KAX1239", "AX1234", "KBX1239"])
def test_another_text_has_the_share_of_its_reads_wherever_it_differs(other: str):
    reads = [("a", "KAX1234", 900), ("b", "KAX1234", 900), ("c", other, 900)]
    (found,) = vote(ballot(reads).weights(), PLATES).alternatives
    assert found == {"text": other, "confidence": pytest.approx(1 / 3, abs=0.001)}


def alternatives(*reads):
    outcome = vote(ballot([(str(n), text, 900) for n, text in enumerate(reads)]).weights(), PLATES)
    return {other["text"]: other["confidence"] for other in outcome.alternatives}


def test_a_sign_that_some_reads_lack_counts_with_all_reads_that_have_it():
    read = ["KAX123"] * 6 + ["KAX1234", "KAXI234", "KAX1Z34"]
    assert alternatives(*read)["KAX1234"] == pytest.approx(3 / 9, abs=0.001)


def test_what_the_grammar_mended_is_no_surer_than_what_was_read():
    votes = ballot([(str(n), text, 900) for n, text in enumerate(["8MA1234"] * 3 + ["8MA1239"])])
    outcome = vote(votes.weights(), PLATES, "DE")
    assert outcome.text == "BMA1234"
    assert outcome.alternatives[0] == {"text": "8MA1234", "confidence": 0.75}


@settings(max_examples=200, deadline=None)
@given(READS)
def test_an_outcome_is_whole(reads):
    outcome = vote(ballot(reads).weights(), PLATES)
    assert 0.0 <= outcome.confidence <= 0.999
    assert len(outcome.positions) == len(outcome.text)
    assert all(
        column == sorted(column, key=lambda place: -place["weight"]) for column in outcome.positions
    )
    shares = [other["confidence"] for other in outcome.alternatives]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 1 for share in shares)
    assert outcome.text not in [other["text"] for other in outcome.alternatives]


def test_more_agreeing_reads_are_more_certain_and_dissent_less():
    def confidence(reads):
        return vote(ballot(reads).weights(), PLATES).confidence

    one = confidence([("a", "KAX12", 900)])
    two = confidence([("a", "KAX12", 900), ("b", "KAX12", 900)])
    against = confidence([("a", "KAX12", 900), ("b", "KAX12", 900), ("c", "KAX13", 900)])
    assert one == pytest.approx(0.9**5, abs=0.001)
    assert two > one
    assert against < two


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_ballot_is_bounded_and_still_right(seed):
    rng = Random(seed)
    made = Ballot()
    for n in range(600):
        text = "KAX1234" if rng.random() < 0.6 else noisy("KAX1234", rng)
        made.add(f"t{n // 10}", text, [900] * len(text))
    assert len(made.tracks) <= MAX_TRACKS
    assert len(made.settled) <= MAX_TEXTS
    assert all(len(texts) <= MAX_TEXTS for texts in made.tracks.values())
    assert vote(made.weights(), PLATES).text == "KAX1234"
