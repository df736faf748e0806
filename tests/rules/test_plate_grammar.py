"""Which texts are plates of which region, and how the grammar mends what OCR confuses.

The samples are made up in the series' own shapes.
"""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.grammar import Grammar, GrammarError, grammar, parse
from rules.similarity import fold
from rules.text import normalise

PLATES = grammar()

# Country: what its plates look like | what they never do
SAMPLES = {
    "AT": ("W 12345 A, KB 123 XY, LL 99 AAA", "1W 2345, ABC 1234, W A1"),
    "BE": ("1-ABC-234, ABC-123, 123-ABC", "ABC-1234, 12-AB-34"),
    "BG": ("CB 1234 AB, K 0001 TX", "DB 1234 AB, CB 123 AB, C1234A"),
    "CH": ("ZH 1, ZH 123456, GE 4711", "Z 123, ZH 1234567, ZHX 12"),
    "CZ": ("1A2 3456, 4AB 1234", "A12 3456, 1Q2 3456, 12A 3456"),
    "DE": ("B A 1, M XY 1234, HSK AB 12, MTK A 99 E, KA BC 123 H", "B 1, M XY 12345, 1 AB 23"),
    "DK": ("AB 12 345", "ABC 1234, AB 1234"),
    "EE": ("123 ABC", "ABC 123, 1234 ABC"),
    "ES": ("1234 BCD, 0001 KLM", "1234 ABC, ABC 1234, 123 BCD"),
    "FI": ("ABC-123, ABC-12", "ABC-1234, 123-ABC"),
    "FR": ("AB-123-CD, 1234 AB 75, 12 ABC 01", "AO-123-CD, AB-12-CD, A-123-BC"),
    "GB": ("AB12 CDE, A123 BCD, ABC 123D", "AB1 CDE, AI12 CDE, 123 ABCD"),
    "GR": ("ABE-1234, YXZ-9999", "ABC-1234, AB-1234"),
    "HR": ("ZG 1234-AB, ST 123-A, ZG 123-AB", "ZG 12-AB, ZG 12345-A"),
    "HU": ("ABC-123, AA BC-123", "AB-123, ABC-1234"),
    "IT": ("AB 123 CD", "AB 123 CQ, IB 123 CD, AB 12 CD"),
    "LT": ("ABC 123", "ABC 1234, 123 ABC"),
    "LV": ("AB-1234, AB-1", "ABC-123, AB-12345"),
    "NL": ("12-BD-FG, BD-12-34, 1-BDF-23, BD-123-F, BDFG-12", "AB-12-CD, 123-456, BDF-1234"),
    "NO": ("AB 12345", "ABC 1234, AB 1234"),
    "PL": ("WA 12345, WX 1234A, KR 123AB, WPR 1234, DW 1A234, GDA 12AB", "W 1234567, 12 ABCDE"),
    "PT": ("AB-12-CD, 12-AB-34, 12-34-AB, AB-12-34", "ABC-123, A-1234"),
    "RO": ("CJ 12 ABC, B 123 ABC, B 12 ABC", "C 12 ABC, CJ 123 ABC"),
    "RU": ("A 123 BC 77, M 001 XX 197", "D 123 BC 77, A 12 BC 77, A 123 BC 7"),
    "SE": ("ABC 123, ABC 12D", "ABI 123, AB 1234"),
    "SK": ("BA-123AB", "BA-12AB, B-123AB"),
    "UA": ("AA 1234 BC, KA 0001 XI", "AD 1234 BC, AA 123 BC"),
    "BR": ("ABC1D23, ABC-1234", "AB1C234, ABCD123, ABC12D3"),
    "VN": ("34A-368.37, 29A-1234, 51F 123.456, 59 AB 123.45", "A34 36837, 34-36837, 3A-12345"),
    "US-CA": ("7ABC123, 1XYZ999", "ABC1234, 77ABC12"),
    "US-FL": ("Y12 ABC, ABC D12, AB 12 CD", "1234567, ABCDEF"),
    "US-NY": ("ABC-1234", "1234-ABC, AB-12345"),
    "US-TX": ("ABC-1234, ABC 123 4", "1234-ABC, AB-12"),
    "US-DE": ("123456, 1234", "A12345, 123"),
}


def plates(listed):
    return [normalise(plate) for plate in listed.split(",")]


@pytest.mark.parametrize("region", SAMPLES)
def test_a_regions_plates_fit_and_others_do_not(region):
    like, unlike = SAMPLES[region]
    for plate in plates(like):
        assert region in PLATES.regions(plate, region), f"{plate} is of {region}"
    for plate in plates(unlike):
        assert region not in PLATES.regions(plate, region), f"{plate} is not of {region}"


def test_all_the_named_countries_and_all_us_states_are_there():
    regions = {layout.region for layout in PLATES.layouts}
    assert set(SAMPLES) <= regions
    states = (
        "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE"
        " NH NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY"
    )
    assert {f"US-{state}" for state in states.split()} <= regions


def test_every_shipped_file_parses():
    for file in (files("rules") / "grammars").iterdir():
        if file.name.endswith(".toml"):
            assert list(parse(file.read_text(encoding="utf-8"), file.name))


# Scopes


@pytest.mark.parametrize(
    ("text", "scope", "expected"),
    [
        ("123456", "auto", ()),  # digits alone only where the region is told
        ("123456", "US-DE", ("US-DE",)),
        ("ABC1D23", "BR", ("BR",)),
        ("ABC1D23", "VN", ()),
        ("ABC1D23", "BR,VN", ("BR",)),
    ],
)
def test_the_scope_says_which_grammars_count(text, scope, expected):
    assert PLATES.regions(text, scope) == expected


@pytest.mark.parametrize(
    ("told", "otherwise", "scope"),
    [(None, "VN", "VN"), ("US-FL", "VN", "US"), ("DE", "auto", "DE"), ("JP", "DE", "auto")],
)
def test_what_a_read_tells_wins_over_the_setting(told, otherwise, scope):
    assert PLATES.scope(told, otherwise) == scope


def test_a_country_without_a_grammar_is_refused_by_name():
    with pytest.raises(GrammarError, match=r"'XX'.*VN"):
        PLATES.check("DE,XX")
    for scope in ("auto", "DE", "DE,FR", "US", "US-FL"):
        PLATES.check(scope)


@pytest.mark.parametrize(
    ("text", "scope", "hint", "region"),
    [
        ("34A36837", "VN", None, "VN"),
        ("ABC1D23", "BR", None, "BR"),
        ("ABC123", "FI,LT", None, None),  # several
        ("ABC123", "FI,LT", "LT", "LT"),
        ("ABC1234", "US", None, "US"),  # several states of one country
        ("ABC1234", "US", "US-NY", "US-NY"),
        ("A", "auto", None, None),
    ],
)
def test_a_text_is_of_a_region_where_only_one_is_possible_or_told(text, scope, hint, region):
    assert PLATES.region(text, scope, hint) == region


# Repair


@pytest.mark.parametrize(
    ("read", "scope", "mended"),
    [
        ("34A36837", "VN", "34A36837"),
        ("34A3683O", "VN", "34A36830"),  # a digit's place
        ("34436O37", "VN", "34A36037"),  # both
        ("3AA36837", "VN", "34A36837"),
        ("A8C1234", "BR", "ABC1234"),  # a letter's place
        ("A8CI2E4", "BR", "A8CI2E4"),  # E is confused with no digit
        ("ABC12O4", "BR", "ABC1204"),
        ("A8C12O4", "BR", "ABC1204"),  # two changes are the limit
        ("A8CI2O4", "BR", "A8CI2O4"),  # three are too many
        ("A8CDEFGHIJ", "BR", "A8CDEFGHIJ"),
    ],
)
def test_confused_characters_go_where_the_grammar_wants_them(read, scope, mended):
    assert PLATES.repair(read, scope) == mended


def test_where_two_mendings_are_equally_near_the_text_stays():
    both = Grammar(
        list(
            parse(
                '[[region]]\ncode = "A"\nlayouts = ["LD"]\n'
                '[[region]]\ncode = "B"\nlayouts = ["DL"]',
                "x",
            )
        )
    )
    assert both.repair("OO", "A") == "O0"
    assert both.repair("OO", "B") == "0O"
    assert both.repair("OO", "A,B") == "OO"


def test_the_heavier_of_two_characters_that_fit_wins():
    evidence = [{}, {}, {"0": 900, "O": 100, "Q": 300}, {}, {}, {}, {}]
    assert PLATES.repair("AB01234", "BR", evidence) == "ABQ1234"
    assert PLATES.repair("AB01234", "BR") == "ABO1234"


@given(
    st.text("ABDOQ0I1L8S5Z2G6", min_size=1, max_size=9),
    st.sampled_from(["auto", "BR", "VN", "DE", "US"]),
)
def test_a_mended_text_differs_by_confusions_alone_and_fits(text, scope):
    mended = PLATES.repair(text, scope)
    assert fold(mended) == fold(text)
    assert mended == text or PLATES.regions(mended, scope)
    assert sum(a != b for a, b in zip(text, mended, strict=True)) <= 2
    assert PLATES.repair(mended, scope) == mended


# Files


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("region = [", "x.toml"),
        ("", "x.toml"),
        ('[[region]]\ncode = "XX"', "XX"),
        ('[[region]]\ncode = "XX"\nlayouts = ["LL?D"]', r"XX.*LL\?D"),
        ('[[region]]\ncode = "XX"\nlayouts = [""]', "XX"),
        ('[[region]]\ncode = "XX"\nlayouts = ["L{1}"]', r"XX.*L\{1\}"),
        ('[[region]]\ncode = "XX"\nlayout = ["LD"]', "XX"),
        ('[[region]]\ncode = "XX"\nletters = "abc"\nlayouts = ["LD"]', "XX"),
        ('[[region]]\ncode = "XX"\nlayouts = "LD"', "XX"),
        ('[[region]]\ncode = 5\nlayouts = ["LD"]', "code"),
        ('[[region]]\ncode = "XX"\nlayouts = ["L{3,1}"]', r"XX.*L\{3,1\}"),
    ],
)
def test_a_wrong_file_is_named_with_its_region_and_pattern(toml, told):
    with pytest.raises(GrammarError, match=rf"(?s)x\.toml.*{told}|{told}.*x\.toml|^{told}"):
        list(parse(toml, "x.toml"))


def test_a_pattern_stands_for_all_its_lengths():
    layouts = list(
        parse('[[region]]\ncode = "XX"\nletters = "AB"\nlayouts = ["L{1,2}D{1,2}x7"]', "x")
    )
    assert sorted(len(layout.places) for layout in layouts) == [4, 5, 5, 6]
    fits = Grammar(layouts).regions
    assert fits("A1X7", "XX") == fits("BA99X7", "XX") == ("XX",)
    assert fits("C1X7", "XX") == fits("A1X8", "XX") == fits("A1Y7", "XX") == ()
